from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sshd_server
from sshd_server import Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = sshd_server.find_sshd()
    if program is None:
        if os.environ.get("CTL_NO_SSHD") == "1":
            pytest.skip("CTL_NO_SSHD=1")
        pytest.fail("sshd is needed: apt-get install openssh-server (or set CTL_NO_SSHD=1 to go without these tests)")
    server = sshd_server.start(program, tmp_path_factory.mktemp("sshd"))
    yield server
    server.process.terminate()
    server.process.wait()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and an environment without the keys, the agent and the settings of whoever runs the tests."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder
