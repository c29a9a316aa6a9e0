"""A real OpenSSH server for one test run: 127.0.0.1, a free port, the user who runs the tests, keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctl.edge.ssh import SshTransport


@dataclass(frozen=True)
class Sshd:
    """`known_hosts` knows the server, `key` opens it, `host_key` is its own (public half beside it)."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def user(self) -> str:
        return getpass.getuser()

    @property
    def key(self) -> Path:
        return self.folder / "client"

    @property
    def host_key(self) -> Path:
        return self.folder / "host"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def transport(self, **changes: Any) -> SshTransport:
        wanted: dict[str, Any] = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "key": self.key,
            "known_hosts": self.known_hosts,
            "connect_timeout": 5,
            "ssh_config": False,
        }
        return SshTransport(**(wanted | changes))


def make_key(path: Path, *, passphrase: str = "", kind: str = "ed25519") -> Path:
    bits = ["-b", "2048"] if kind == "rsa" else []  # fewer to wait for
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "test", "-f", path], check=True)
    return path


def find_sshd() -> str | None:
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def start(program: str, folder: Path) -> Sshd:
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root wants its empty folder
    make_key(folder / "client")
    make_key(folder / "host")
    (folder / "home").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    public = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    (folder / "authorized_keys").write_text((folder / "client.pub").read_text())
    (folder / "config").write_text(
        # HOME: bash reads ~/.bashrc when sshd starts it, and that of whoever runs the tests may do anything.
        f"""
        ListenAddress 127.0.0.1:{port}
        HostKey {folder}/host
        AuthorizedKeysFile {folder}/authorized_keys
        PidFile none
        StrictModes no
        UsePAM no
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        PermitRootLogin prohibit-password
        MaxStartups 100
        SetEnv HOME={folder}/home
        """
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", folder / "config"], stderr=log, stdin=subprocess.DEVNULL)
    server = Sshd(folder, port, process)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise RuntimeError(f"sshd did not start:\n{server.log}")
