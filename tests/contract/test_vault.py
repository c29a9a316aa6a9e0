"""The vault as a file: its key, its lock, and everything that can be wrong with either."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ctl.core.errors import InvalidFile, UsageError
from ctl.edge.vault import Vault, key_path


@pytest.fixture(autouse=True)
def own_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTL_VAULT_KEY", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def test_what_is_kept_is_read_back_and_nothing_of_it_can_be_seen(tmp_path: Path) -> None:
    Vault(tmp_path).keep("h1", {"A": "value of a", "B": "é'\"$\n"})
    Vault(tmp_path).keep("h2", {"A": "another"})
    assert Vault(tmp_path).read("h1") == {"A": "value of a", "B": "é'\"$\n"}
    assert Vault(tmp_path).hosts() == ("h1", "h2")
    raw = (tmp_path / "vault.enc").read_bytes()
    assert raw.startswith(b"ctl-vault 1\n")
    assert not any(word in raw for word in (b"value of a", b"another"))
    assert (tmp_path / "vault.enc").stat().st_mode & 0o777 == 0o600
    assert key_path().stat().st_mode & 0o777 == 0o600
    assert key_path().parent.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["vault.enc"]


def test_keep_replaces_and_forgets_and_add_does_neither(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    vault.keep("h1", {"A": "1", "B": "1"})
    vault.keep("h1", {"A": "2"}, forget=["B"])
    assert vault.add("h1", {"A": "3", "C": "3"}) == {"A": "2", "C": "3"}
    assert vault.read("h1") == {"A": "2", "C": "3"}
    assert vault.read("h9") == {}


def test_an_absent_vault_is_an_empty_one_and_needs_no_key(tmp_path: Path) -> None:
    assert Vault(tmp_path).read("h1") == {}
    assert not key_path().exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Vault(tmp_path).keep("h1", {"A": "1"})
    for mode in (0o644, 0o640, 0o602):
        key_path().chmod(mode)
        with pytest.raises(UsageError, match="others on this machine can read") as caught:
            Vault(tmp_path).read("h1")
        assert caught.value.hint == f"chmod 600 {key_path()}"


def test_another_key_does_not_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Vault(tmp_path).keep("h1", {"A": "1"})
    before = (tmp_path / "vault.enc").read_bytes()
    monkeypatch.setenv("CTL_VAULT_KEY", Fernet.generate_key().decode())
    for attempt in (lambda: Vault(tmp_path).read("h1"), lambda: Vault(tmp_path).keep("h1", {"A": "2"})):
        with pytest.raises(InvalidFile, match="does not open with this key") as caught:
            attempt()
        assert "ctl secrets pull" in caught.value.hint
    assert (tmp_path / "vault.enc").read_bytes() == before


def test_a_lost_key_is_not_made_anew_over_a_vault_that_needs_the_old_one(tmp_path: Path) -> None:
    Vault(tmp_path).keep("h1", {"A": "1"})
    key_path().unlink()
    with pytest.raises(UsageError, match="its key is not here") as caught:
        Vault(tmp_path).keep("h1", {"A": "2"})
    assert "ctl secrets pull" in caught.value.hint
    assert not key_path().exists()


def test_the_key_of_the_environment_comes_first_and_none_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTL_VAULT_KEY", Fernet.generate_key().decode())
    Vault(tmp_path).keep("h1", {"A": "1"})
    assert Vault(tmp_path).read("h1") == {"A": "1"}
    assert not key_path().exists()


def test_a_key_that_is_none_is_named_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTL_VAULT_KEY", "hunter2")
    with pytest.raises(UsageError, match="CTL_VAULT_KEY is not a key") as caught:
        Vault(tmp_path).keep("h1", {"A": "1"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a vault"),
        (b"hosts: {}\n", "is not a vault"),
        (b"ctl-vault 2\nxyz\n", "newer ctl"),
        (b"ctl-vault 1\n", "does not open"),
        (b"ctl-vault 1\nnonsense\n", "does not open"),
    ],
)
def test_what_is_no_vault_is_left_alone(tmp_path: Path, content: bytes, said: str) -> None:
    Vault(tmp_path / "other").path.parent.mkdir()
    Vault(tmp_path / "other").keep("h1", {"A": "1"})
    (tmp_path / "vault.enc").write_bytes(content)
    with pytest.raises(InvalidFile, match=said):
        Vault(tmp_path).keep("h1", {"A": "2"})
    assert (tmp_path / "vault.enc").read_bytes() == content


@pytest.mark.parametrize("inner", [b"[]", b'{"h1": {"A": 1}}', b'{"h1": []}', b"\xff", b"{"])
def test_a_vault_with_something_else_inside_is_no_traceback(tmp_path: Path, inner: bytes) -> None:
    Vault(tmp_path).keep("h1", {"A": "1"})
    token = Fernet(key_path().read_bytes().strip()).encrypt(inner)
    (tmp_path / "vault.enc").write_bytes(b"ctl-vault 1\n" + token)
    with pytest.raises(InvalidFile, match="something else than secrets"):
        Vault(tmp_path).read("h1")


def _write(folder: str, number: int) -> None:
    for turn in range(5):
        Vault(Path(folder)).keep("h1", {f"S{number}_{turn}": "x"})
        Vault(Path(folder)).add("h1", {"FIRST": str(number)})


def test_writers_at_once_lose_nothing_of_each_others(tmp_path: Path) -> None:
    """From nothing: the key itself is made by one of them, and used by all."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(str(tmp_path), number)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    kept = Vault(tmp_path).read("h1")
    assert {name for name in kept if name != "FIRST"} == {f"S{n}_{turn}" for n in range(6) for turn in range(5)}
    assert kept["FIRST"] in set("012345")


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        Vault(tmp_path).keep("h1", {"A": "1"})
