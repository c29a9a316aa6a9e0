"""The programs that judge what was rendered; a test is skipped where one is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def tool(variable: str, *names: str) -> str:
    """The path of a program that a variable names, or that stands beside Python or on the PATH; skips without one."""
    places = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = os.environ.get(variable) or next(filter(None, (shutil.which(name, path=places) for name in names)), None)
    return found or pytest.skip(f"no {names[0]} on the PATH, and {variable} names none")


def compose_command() -> list[str]:
    if found := os.environ.get("CTL_COMPOSE") or shutil.which("docker-compose"):
        return [found]
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    pytest.skip("no docker-compose on the PATH, no compose plugin, and CTL_COMPOSE names none")


def judged(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
