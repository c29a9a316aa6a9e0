"""Imports point down only: cli → run → core, edge → core; and the core is a function of its arguments.

The frames of the bridge are as pure as the core, and import nothing of it: the proxy's image has these files alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import REPOSITORY

# What each layer may import of this project; what is not named here belongs to cli.
MAY_IMPORT = {
    "core": {"core"},
    "frames": set(),
    "rules": {"core", "bridge"},
    "bridge": {"core", "bridge"},
    "run": {"core", "run"},
    "edge": {"core", "edge"},
    "lab": {"core", "edge", "lab"},
    "cli": {"bridge", "core", "edge", "lab", "run", "cli"},
}
INSTEAD = {
    "core": "the core is pure: hand the value in as an argument",
    "frames": "the frames are pure, and stand alone in the proxy's image",
    "rules": "the bridge's rules are pure: hand the value in as an argument",
    "bridge": "the bridge is started by cli, which hands in what it needs",
    "run": "run knows the ports only: take a Transport, and let cli make it",
    "edge": "an edge serves one port of the core: let cli put it together with the rest",
    "lab": "a lab host is a server like any other: let cli put it together with the rest",
    "cli": "a command is made of what is below it",
}
PURE = {"core", "frames", "rules"}
FRAMES = {"bridge/frames.py", "bridge/passage.py"}
RULES = {f"bridge/{name}.py" for name in ("order", "retry", "closing", "near", "wording")}
IMPURE = {
    **dict.fromkeys(("socket", "ssl", "http", "urllib.request", "paramiko", "fabric", "docker"), "take a Transport"),
    **dict.fromkeys(
        ("os", "pathlib", "shutil", "tempfile", "glob", "dotenv"), "let edge/project.py read, take the text"
    ),
    **dict.fromkeys(
        ("subprocess", "threading", "multiprocessing", "asyncio", "signal"), "run.py and the edges do work"
    ),
    **dict.fromkeys(("time", "random", "secrets", "uuid", "getpass", "platform"), "take the value as an argument"),
    **dict.fromkeys(("logging", "sys", "rich", "typer"), "return data, and let cli show it"),
}
IMPURE_CALLS = {"open": "let edge/project.py read", "print": "return data", "input": "let cli ask"}
IMPURE_METHODS = {"now": "take the moment as an argument", "utcnow": "the same", "today": "the same"}


def layer(path: Path) -> str:
    inside = path.relative_to(REPOSITORY / "ctl")
    if inside.as_posix() in FRAMES:
        return "frames"
    if inside.as_posix() in RULES:
        return "rules"
    first = inside.parts[0].removesuffix(".py")
    return first if first in MAY_IMPORT else "cli"


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module) for every import anywhere in the file; `from a import b` counts as a and as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "."
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def within(name: str, modules: dict[str, str]) -> str | None:
    parts = name.split(".")
    return next((why for n in range(len(parts)) if (why := modules.get(".".join(parts[: n + 1])))), None)


def complaints(layer: str, text: str) -> Iterator[str]:
    """`3: ctl.cli: the core is pure …` for everything in a module of this layer that does not belong there."""
    tree = ast.parse(text)
    for line, name in imports(tree):
        parts = name.split(".")
        if parts[0] == "ctl" and len(parts) > 1 and parts[1] in MAY_IMPORT and parts[1] not in MAY_IMPORT[layer]:
            yield f"{line}: {name}: {INSTEAD[layer]}"
        if layer == "rules" and parts[:2] == ["ctl", "bridge"] and f"bridge/{parts[2]}.py" not in FRAMES | RULES:
            yield f"{line}: {name}: {INSTEAD[layer]}"
        if layer in PURE and (why := within(name, IMPURE)):
            yield f"{line}: {name}: {INSTEAD[layer]}: {why}"
    for node in ast.walk(tree) if layer in PURE else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield f"{node.lineno}: {node.func.id}(): {IMPURE_CALLS[node.func.id]}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS:
            yield f"{node.lineno}: {node.func.attr}(): {IMPURE_METHODS[node.func.attr]}"


MODULES = sorted((REPOSITORY / "ctl").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_point_down(path: Path) -> None:
    found = [f"{path.relative_to(REPOSITORY)}:{each}" for each in complaints(layer(path), path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ("core", "from ctl import run"),
        ("core", "from ctl.edge.ssh import SshTransport"),
        ("core", "def f():\n    import os.path"),
        ("core", "from urllib.request import urlopen"),
        ("core", "from urllib import request"),
        ("core", "from datetime import datetime\nx = datetime.now()"),
        ("core", "x = open('f')"),
        ("frames", "from ctl.core.errors import CtlError"),
        ("frames", "import time"),
        ("rules", "import asyncio"),
        ("rules", "from ctl.bridge.link import Link"),
        ("bridge", "from ctl.edge.ssh import SshTransport"),
        ("run", "from ctl.edge.ssh import SshTransport"),
        ("run", "import ctl.cli.show"),
        ("edge", "from ctl import run"),
        ("edge", "from ctl.cli import app"),
        ("lab", "from ctl.run import apply"),
    ],
)
def test_what_is_complained_about(layer: str, text: str) -> None:
    assert list(complaints(layer, text))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ("core", "import re\nfrom urllib.parse import urlsplit\nfrom ctl.core.plan import plan"),
        ("frames", "import json\nfrom .frames import Headers"),
        ("rules", "import ipaddress\nfrom ctl.bridge.frames import Close"),
        ("bridge", "import asyncio\nfrom ctl.bridge import frames\nfrom ctl.core.errors import CtlError"),
        ("run", "import time\nfrom ctl.core import script"),
        ("edge", "import socket\nfrom ctl.core.errors import CtlError"),
        ("cli", "from ctl import lab, run\nfrom ctl.edge.ssh import SshTransport"),
    ],
)
def test_what_is_not(layer: str, text: str) -> None:
    assert not list(complaints(layer, text))
