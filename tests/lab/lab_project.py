"""A project folder with a home of its own, and the program as a person starts it there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from ctl.edge.project import open_project

ROOT = "/opt/lean-llm"
DOMAIN = "lab.ngrok-free.app"
DOOR = 8443
VARS: Mapping[str, Any] = {
    "docker_source": "distribution",
    "ngrok_domain": DOMAIN,
    "address": "0.0.0.0",
    "https_port": DOOR,
}
# Of the tester's own environment only this reaches the program: no keys, no settings, no secrets.
PASSED_ON = ("PATH", "PYTHONPATH", "DOCKER_HOST")


def until(what: str, done: Callable[[], Any], *, seconds: float = 60, every: float = 0.3) -> Any:
    """Ask again until the answer is true, and return it. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := done()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(every)
    return answer


@dataclass(frozen=True)
class Said:
    """What one run of the program came to."""

    code: int
    stdout: str
    stderr: str

    @property
    def data(self) -> Any:
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """The message and its hint. A traceback is never one."""
        assert "Traceback" not in self.stderr, self
        assert "a fault in ctl itself" not in self.stderr, self
        assert "error: " in self.stderr, self
        return self.stderr[self.stderr.index("error: ") :]

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Project:
    """A folder for inventory.yaml and templates/, beside a home with an .ssh of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder / "project", folder / "home"
        self.folder.mkdir(parents=True)
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        self.inventory = self.folder / "inventory.yaml"
        self.known_hosts = self.home / ".ssh" / "known_hosts"
        self.env = {
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            "HOME": str(self.home),
            "USER": "tester",
            "LANG": "C.UTF-8",
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            # Where the lab keeps its keys.
            "XDG_STATE_HOME": os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state"),
        }

    def write(self, host: str, **changes: Any) -> None:
        """An inventory of one host. `vars` come on top of the usual ones; the rest is the host's as it stands."""
        entry = {"stack": "lean-llm", **changes, "vars": {**VARS, **changes.get("vars", {})}}
        self.inventory.write_text(yaml.safe_dump({"hosts": {host: entry}}, sort_keys=False))

    def plain(self, host: str) -> None:
        """The usual inventory for this host, and no templates but the shipped ones."""
        shutil.rmtree(self.folder / "templates", ignore_errors=True)
        self.write(host)

    def shipped(self, template: str) -> str:
        """A template that comes with the program."""
        return open_project(self.home).templates()[template]

    def override(self, template: str, old: str, new: str) -> None:
        """Put a changed copy of a shipped template into the project, where it comes first."""
        text = self.shipped(template)
        assert text.count(old) == 1, f"{template} holds {old!r} {text.count(old)} times"
        own = self.folder / "templates" / template
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(text.replace(old, new))

    def ctl(self, *arguments: str, seconds: float = 400, env: Mapping[str, str] | None = None) -> Said:
        """Run the program to its end."""
        done = subprocess.run(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**self.env, **(env or {})},
            cwd=self.folder,
            timeout=seconds,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Watched:
        """Start the program, to be watched and interrupted."""
        # A shell may have started the tests with Ctrl-C switched off, which is inherited.
        first = (
            "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
        )
        return Watched(
            subprocess.Popen(
                [sys.executable, "-c", first, *self._command(arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={**self.env, **(env or {})},
                cwd=self.folder,
            )
        )

    def at_terminal(self, *arguments: str) -> Terminal:
        """Start the program at a terminal, as a person does."""
        # A process of its own gives it the terminal: to fork one out of a process with threads is not safe.
        spawn = (
            "import os, pty, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
            " sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
        )
        return Terminal(
            subprocess.Popen(
                [sys.executable, "-c", spawn, *self._command(arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**self.env, "TERM": "xterm"},
                cwd=self.folder,
            )
        )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "ctl", "-C", str(self.folder), *arguments]


Text = TypeVar("Text", str, bytes)


@dataclass
class _Process(Generic[Text]):
    """A program at work; a context manager, so that none outlives its test."""

    process: subprocess.Popen[Text]

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@dataclass
class Watched(_Process[str]):
    """Its stderr is read line by line."""

    lines: list[str] = field(default_factory=list)

    def wait_for(self, text: str) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"the program ended without saying {text!r}:\n{''.join(self.lines)}")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self, *, seconds: float = 200) -> Said:
        _, rest = self.process.communicate(timeout=seconds)
        return Said(self.process.returncode, "", "".join(self.lines) + rest)


@dataclass
class Terminal(_Process[bytes]):
    """What it shows is gathered; keys can be typed."""

    heard: bytes = b""

    @property
    def shown(self) -> str:
        """All of it at once: a character may come in two pieces."""
        return self.heard.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        assert self.process.stdout
        while text not in self.shown:
            chunk = os.read(self.process.stdout.fileno(), 4096)
            assert chunk, f"the program ended without showing {text!r}:\n{self.shown}"
            self.heard += chunk

    def type(self, keys: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(keys)
        self.process.stdin.flush()

    def end(self, *, seconds: float = 60, again: bytes = b"") -> Said:
        """Wait for its end; `again` are keys to repeat, should nobody have read them on a busy machine."""
        try:
            self.process.wait(timeout=seconds / 4)
        except subprocess.TimeoutExpired:
            if again:
                self.type(again)
            self.process.wait(timeout=seconds)
        assert self.process.stdout
        self.heard += self.process.stdout.read()
        return Said(self.process.returncode, "", self.shown.replace("\r\n", "\n"))
