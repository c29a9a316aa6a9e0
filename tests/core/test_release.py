from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from samples import APP_FILE, release, rendered

from ctl.core.errors import InvalidFile
from ctl.core.release import File, Release, fingerprint, load_release, phase_number
from ctl.core.secret import Secret


def blobs(whole: Release) -> dict[str, bytes]:
    return {file.sha: file.content for file in whole.files}


def test_equal_input_gives_an_equal_id() -> None:
    assert release().id == release().id
    assert rendered().id == rendered().id
    assert rendered().manifest() == rendered().manifest()


SMALL = release()


@pytest.mark.parametrize(
    "change",
    [
        {"host": "h2"},
        {"root": "/opt/other"},
        {"memory": 1},
        {"files": (replace(SMALL.files[0], content=b"a = 2\n"), SMALL.files[1])},
        {"files": (replace(SMALL.files[0], mode=0o600), SMALL.files[1])},
        {"files": (replace(SMALL.files[0], owner="app:app"), SMALL.files[1])},
        {"files": SMALL.files[:1]},
        {"steps": SMALL.steps[:2]},
        {"containers": SMALL.containers[:1]},
        {"routes": ()},
    ],
)
def test_another_content_gives_another_id(change: dict[str, Any]) -> None:
    assert release(**change).id != SMALL.id


def test_secrets_are_kept_for_redaction_and_nowhere_else() -> None:
    with_secret = release(secrets=(Secret("PASSWORD", "sentinel"),))
    assert with_secret.id == SMALL.id
    assert b"sentinel" not in with_secret.manifest()
    assert "sentinel" not in repr(with_secret)


@pytest.mark.parametrize("whole", [release(), rendered()], ids=["small", "lean-llm"])
def test_a_release_comes_back_from_its_manifest(whole: Release) -> None:
    again = load_release(whole.manifest(), blobs(whole))
    assert again == replace(whole, secrets=())
    assert again.id == whole.id


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        SMALL.manifest()[:-10],
        SMALL.manifest().replace(b'"memory"', b'"mammary"'),
        SMALL.manifest().replace(b"/stacks/app/app.conf", b"/../../etc/shadow"),
        SMALL.manifest().replace(SMALL.files[0].sha.encode(), b"0" * 64),
    ],
)
def test_a_damaged_manifest_is_refused(manifest: bytes) -> None:
    with pytest.raises(InvalidFile):
        load_release(manifest, blobs(SMALL))


def test_a_blob_that_is_not_what_its_name_says_is_refused() -> None:
    with pytest.raises(InvalidFile):
        load_release(SMALL.manifest(), {**blobs(SMALL), SMALL.files[0].sha: b"something else"})


@pytest.mark.parametrize(
    "path",
    ["", "/", "etc/x", "/etc/", "/etc//x", "/etc/../x", "/..", "/etc/./x", "/etc/x y", "/etc/x\n", "/etc/$x", "/é"],
)
def test_paths_that_are_not_written(path: str) -> None:
    with pytest.raises(InvalidFile, match="is not a path that this program writes to a host"):
        File(path, b"", 2)


@pytest.mark.parametrize("path", ["/x", "/etc/a-b_c.d@e+f", "/opt/..x/y..z", "/opt/.ctl/x"])
def test_paths_that_are(path: str) -> None:
    assert File(path, b"", 2).path == path


def test_files_are_found_by_path() -> None:
    found = release().file(APP_FILE)
    assert found is not None
    assert found.content == b"a = 1\n"
    assert release().file("/nowhere") is None


def test_images_are_named_once() -> None:
    double = replace(SMALL.containers[0], name="app2")
    assert release(containers=(*SMALL.containers, double)).images == ("app:1", "db:2")


def test_fingerprints_tell_where_one_text_ends() -> None:
    texts = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], [], ["", "abc"]]
    assert len({fingerprint(each) for each in texts}) == len(texts)


def test_phase_numbers() -> None:
    folders = ["1-setup", "2-deploy", "3-configure", "4-add-service"]
    assert [phase_number(folder) for folder in folders] == [1, 2, 3, 4]
