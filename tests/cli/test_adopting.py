"""A Compose file becomes a service of the project's own, in a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import INVENTORY, Ctl

from ctl.cli.adopting import adopt, parse_pins
from ctl.cli.workplace import Workplace
from ctl.core.errors import InvalidFile, UsageError

COMPOSE = """\
services:
  web:
    image: example/notes:1.2
    ports: ["8080:80"]
    volumes: ["./notes.conf:/etc/notes.conf:ro", "./data:/data"]
    environment:
      API_TOKEN: zu4-geheim-aber-echt
      GREETING: "it costs $$5 {{ today }}"
"""


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def file(ctl: Ctl) -> Path:
    ctl.write("elsewhere/notes/notes.conf", "answer = {{ 42 }}\n")
    return ctl.write("elsewhere/notes/compose.yaml", COMPOSE)


def test_it_is_written_read_back_and_deployable(ctl: Ctl, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt(Workplace(ctl.folder), file, hosts=["h1"]) == "notes"
    said = capsys.readouterr().err
    folder = ctl.folder / "templates/services/notes"
    assert tree(folder) == [
        *("compose.yaml.j2", "conf", "conf/notes.conf"),
        *("steps", "steps/2-deploy", "steps/2-deploy/10-folders.sh.j2"),
    ]
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]
    assert "port 80" in said and "zu4" not in said
    assert Workplace(ctl.folder).vault.read("h1") == {"NOTES_API_TOKEN": "zu4-geheim-aber-echt"}
    assert "zu4" not in (folder / "compose.yaml.j2").read_text()
    assert ctl("services", "show", "notes").out == (folder / "compose.yaml.j2").read_text()
    ctl.write("inventory.yaml", INVENTORY.replace("    vars: {timezone", "    services: [notes]\n    vars: {timezone"))
    done = ctl("render", "h1", "--out", "out")
    assert done.code == 0, done.err
    (compose,) = (ctl.folder / "out").rglob("stacks/notes/compose.yaml")
    assert "$$5 {{ today }}" in compose.read_text()
    assert (compose.parent / "conf/notes.conf").read_text() == "answer = {{ 42 }}\n"
    assert (compose.parent / ".env").read_text() == "NOTES_API_TOKEN='zu4-geheim-aber-echt'\n"


def test_a_second_time_or_a_name_of_the_catalogue_is_refused(ctl: Ctl, file: Path) -> None:
    adopt(Workplace(ctl.folder), file)
    for name in ("", "notes", "n8n", "clawdbot", "nginx"):
        with pytest.raises(UsageError, match="there is a service"):
            adopt(Workplace(ctl.folder), file, name)


def test_what_is_refused_leaves_nothing_behind(ctl: Ctl, file: Path) -> None:
    before = tree(ctl.folder)
    file.write_text(COMPOSE + "    privileged: true\n")
    with pytest.raises(InvalidFile, match=r"compose\.yaml:9: services\.web\.privileged"):
        adopt(Workplace(ctl.folder), file, hosts=["h1"])
    assert tree(ctl.folder) == before
    assert adopt(Workplace(ctl.folder), file, allow=["privileged"]) == "notes"


def test_links_that_lead_out_of_the_folder_are_not_followed(ctl: Ctl, file: Path) -> None:
    ctl.write("elsewhere/outside.conf", "not yours\n")
    (file.parent / "notes.conf").unlink()
    (file.parent / "notes.conf").symlink_to("../outside.conf")
    with pytest.raises(InvalidFile, match=r"notes\.conf is not beside the file"):
        adopt(Workplace(ctl.folder), file)


def test_values_without_a_host_are_named_and_not_shown(
    ctl: Ctl, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adopt(Workplace(ctl.folder), file)
    said = capsys.readouterr().err
    assert "NOTES_API_TOKEN are in no vault yet" in said and "zu4" not in said
    assert not (ctl.folder / "vault.enc").exists()


def test_pins() -> None:
    assert parse_pins(["ghcr.io/a/b=v1", "r:5000/c=sha256:ab"]) == {"ghcr.io/a/b": "v1", "r:5000/c": "sha256:ab"}
    for word in ("a", "a=", "=1", "a=latest", "a=VERSION"):
        with pytest.raises(UsageError):
            parse_pins([word])


def test_env_files_of_any_name_are_read(ctl: Ctl, file: Path) -> None:
    (file.parent / "variables.txt").write_text("# a comment\nGREETING='not $this'\nexport COLOUR=\"red # it is\"\n")
    file.write_text("services: {web: {image: 'a:1', env_file: [./variables.txt]}}\n")
    adopt(Workplace(ctl.folder), file)
    text = (ctl.folder / "templates/services/notes/compose.yaml.j2").read_text()
    assert "GREETING: not $$this\n" in text and 'COLOUR: "red # it is"\n' in text
