from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from samples import Machine, fit, make_templates
from typer.main import get_command

from ctl.__main__ import run
from ctl.cli.workplace import Workplace
from ctl.core.inventory import Host
from ctl.core.probe import Facts
from ctl.core.release import Release
from ctl.core.secret import Secret
from ctl.edge.fake import FakeTransport

BARE = fit()
INVENTORY = """\
# The hosts of this project.
defaults: {stack: lean-llm, vars: {access: internal}}
hosts:
  h1:
    address: 203.0.113.1  # the first
    vars: {timezone: Etc/UTC}
groups: {all: [h1]}
"""


@dataclass
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str


@dataclass
class Ctl:
    """The program in a project of its own, with a home of its own, and hosts that exist only here."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    facts: Facts | Callable[[Release], Facts] = BARE
    log: bytes = b"@ release r\n@ exit 0\n"
    contents: Mapping[str, bytes] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    transports: list[FakeTransport] = field(default_factory=list)

    def __call__(self, *words: str) -> Said:
        code = run(list(words))
        captured = self.capture.readouterr()
        assert "Traceback" not in captured.err
        assert "a fault in ctl itself" not in captured.err, captured.err
        return Said(code, captured.out, captured.err)

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def transport(self, place: Workplace, host: Host) -> FakeTransport:
        facts = self.facts if isinstance(self.facts, Facts) else self.facts(place.aim(host).release)
        self.machines[host.name] = Machine(facts, log=self.log, contents=self.contents)
        self.transports.append(FakeTransport(self.machines[host.name]))
        return self.transports[-1]

    @property
    def started(self) -> list[bytes]:
        """The archives of all runs on all hosts."""
        return [archive for machine in self.machines.values() for archive in machine.started]

    def answer(self, typed: str | type[BaseException]) -> None:
        """Somebody is at the terminal and types this, or presses Ctrl-C."""
        self.monkeypatch.setattr("sys.stdin", Keyboard(typed))


class Keyboard(io.StringIO):
    def __init__(self, typed: str | type[BaseException]) -> None:
        super().__init__(f"{typed}\n" if isinstance(typed, str) else "")
        self.typed = typed

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:
        if isinstance(self.typed, str):
            return super().readline(size)
        raise self.typed


# Typer builds all commands anew for each command line, which takes longer than most of them do.
built_once = cache(get_command)


def quick_bcrypt(password: Secret, salt: Secret, cost: int = 10) -> Secret:
    """Not bcrypt, which takes its time on purpose, but of its form."""
    mark = hashlib.sha256(f"{password.reveal()} {salt.reveal()}".encode()).hexdigest()[:53]
    return Secret(f"{password.name} (bcrypt)", f"$2b$10${mark}")


@pytest.fixture
def ctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ctl:
    for name in os.environ:
        if name.startswith(("CTL_", "XDG_", "NGROK_", "N8N_", "FLOWISE_", "BASIC_AUTH_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CTL_VAULT_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    monkeypatch.chdir(folder)
    program = Ctl(folder, monkeypatch, capsys)
    program.write("inventory.yaml", INVENTORY)
    monkeypatch.setattr("typer.main.get_command", built_once)
    monkeypatch.setattr("ctl.core.template.Templates", make_templates)
    monkeypatch.setattr("ctl.core.template.bcrypt_hash", quick_bcrypt)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr(Workplace, "transport", lambda place, host, **_: program.transport(place, host))
    return program
