"""What stops a deploy before anything is touched: each with its message and exit code, and a host that is as it was."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from lab_project import VARS, Project, Said
from lab_server import Server

from ctl.lab import SECRETS

SET = [word for name, value in VARS.items() for word in ("--set", f"{name}={value}")]
SWITCHED_OFF = "/usr/bin/sudo.switched-off"


@pytest.fixture(autouse=True)
def as_it_was(bare: Server) -> Iterator[None]:
    yield
    bare.assert_untouched()


def deploy(project: Project, bare: Server, *options: str, user: str = "", port: int = 0) -> Said:
    """Deploy to the host as to any server: by address, with a key file."""
    target = f"{user or bare.lab.user}@{bare.lab.address}:{port or bare.lab.port}"
    words = ["deploy", target, "--stack", "lean-llm", *SET, "--key", str(bare.lab.key), "--yes", *options]
    return project.ctl(*words, env=SECRETS)


def trust(project: Project, bare: Server) -> None:
    project.known_hosts.write_text(bare.lab.known_hosts.read_text())


def refused(said: Said, code: int, *parts: str) -> None:
    assert said.code == code, said
    for part in (*parts, "hint: "):
        assert part in said.error, said


# --- trust ------------------------------------------------------------------------------------------------------------


def test_unknown_host_key(project: Project, bare: Server) -> None:
    said = deploy(project, bare)
    refused(said, 5, "is not known", "SHA256:", "--accept-new-host-key")
    shown = bare.sh("for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done")
    fingerprint = next(word for word in said.error.split() if word.startswith("SHA256:"))
    assert fingerprint in shown
    assert not project.known_hosts.exists()
    assert not project.inventory.exists()


def test_changed_host_key(project: Project, bare: Server) -> None:
    kind = b"ssh-ed25519"
    other = base64.b64encode(struct.pack(">I", len(kind)) + kind + struct.pack(">I", 32) + bytes(range(32))).decode()
    line = f"[{bare.lab.address}]:{bare.lab.port} ssh-ed25519 {other}\n"
    project.known_hosts.write_text(line)
    for option in ([], ["--accept-new-host-key"]):
        refused(deploy(project, bare, *option), 5, "has changed", "ssh-keygen", "-R")
    assert project.known_hosts.read_text() == line


def test_wrong_user(project: Project, bare: Server) -> None:
    trust(project, bare)
    refused(deploy(project, bare, user="nobody-here"), 5, "nobody-here@", "took none of", "authorized_keys")


# --- becoming root ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def users(bare: Server) -> None:
    """`guest` may not use sudo, `owner` may with a password; both log in with the lab's key."""
    for name in ("guest", "owner"):
        bare.sh(
            f"useradd -m -s /bin/bash {name} && install -d -m 0700 -o {name} /home/{name}/.ssh &&"
            f" install -m 0600 -o {name} /root/.ssh/authorized_keys /home/{name}/.ssh/"
        )
    bare.sh("echo owner:a-password | chpasswd && echo 'owner ALL=(ALL) ALL' >/etc/sudoers.d/91-owner")


def test_sudo_that_wants_a_password(project: Project, bare: Server, users: None) -> None:
    trust(project, bare)
    refused(deploy(project, bare, user="owner"), 1, "password", "NOPASSWD")


def test_user_who_may_not_use_sudo(project: Project, bare: Server, users: None) -> None:
    trust(project, bare)
    refused(deploy(project, bare, user="guest"), 1, "sudo", "root")


def test_no_sudo_there(project: Project, bare: Server) -> None:
    trust(project, bare)
    bare.sh(f"mv /usr/bin/sudo {SWITCHED_OFF}")
    try:
        refused(deploy(project, bare), 1, "there is no sudo", "root")
    finally:
        bare.sh(f"mv {SWITCHED_OFF} /usr/bin/sudo")


# --- what kind of host it is ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def planted(bare: Server, path: str, text: str) -> Iterator[None]:
    """A file that is there for a while only; one that stood there before comes back."""
    bare.sh(f"[ ! -e {path} ] || mv {path} {path}.kept; printf %s '{text}' >{path}; chmod 0755 {path}")
    try:
        yield
    finally:
        bare.sh(f"rm {path}; [ ! -e {path}.kept ] || mv {path}.kept {path}")


def test_another_distribution(project: Project, bare: Server) -> None:
    trust(project, bare)
    with planted(bare, "/etc/os-release", 'ID=fedora\nVERSION_ID=43\nPRETTY_NAME="Fedora Linux 43"\n'):
        refused(deploy(project, bare), 1, "Fedora Linux 43", "Debian or Ubuntu")


def test_32_bit(project: Project, bare: Server) -> None:
    trust(project, bare)
    with planted(bare, "/usr/local/sbin/getconf", "#!/bin/sh\necho 32\n"):
        refused(deploy(project, bare), 1, "32 bit", "64 bit")


@pytest.mark.parametrize(
    ("needs", "part"), [("{memory: 900G, disk: 1G}", "of memory"), ("{memory: 1M, disk: 900T}", "of disk")]
)
def test_too_small(project: Project, bare: Server, needs: str, part: str) -> None:
    trust(project, bare)
    template = "services/n8n/compose.yaml.j2"
    declared = re.search(r"^  requires: .*$", project.shipped(template), re.MULTILINE)
    assert declared
    project.override(template, declared[0], f"  requires: {needs}")
    refused(deploy(project, bare), 1, "declares", part)
    assert not project.inventory.exists()


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_closed_port(project: Project, bare: Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else opens it meanwhile
        refused(deploy(project, bare, port=taken.getsockname()[1]), 5, "refuses connections")


def test_host_that_accepts_and_says_nothing(project: Project, bare: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        refused(deploy(project, bare, port=silent.getsockname()[1]), 5, "did not answer in time")
        assert time.monotonic() - began < 25


def test_interrupted_while_it_connects(project: Project, bare: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"{bare.lab.user}@127.0.0.1:{silent.getsockname()[1]}"
        words = ["deploy", target, "--stack", "lean-llm", *SET, "--yes"]
        with project.start(*words, env=SECRETS) as started:
            connection, _ = silent.accept()
            with connection:
                started.interrupt()
                said = started.end(seconds=10)
    assert said.code == 130, said
    assert "interrupted" in said.error
    assert not project.inventory.exists()


# --- the person -------------------------------------------------------------------------------------------------------


def test_nobody_to_ask(project: Project, bare: Server) -> None:
    project.write(bare.name)
    refused(project.ctl("deploy", bare.name), 2, "nobody is here", "--yes")


@pytest.mark.parametrize("keys", [b"\x03", b"n\n", b"\n"])
def test_no_at_the_prompt(project: Project, bare: Server, keys: bytes) -> None:
    project.write(bare.name)
    with project.at_terminal("deploy", bare.name) as terminal:
        terminal.wait_for("Apply this?")
        terminal.type(keys)
        said = terminal.end(again=keys)
    assert said.code == 130, said
    assert "error: " in said.error
