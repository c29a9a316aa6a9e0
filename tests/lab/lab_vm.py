"""A host with a kernel of its own: QEMU in a container. Slow, and for what a container cannot have alone."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab_project import until
from lab_server import Server

from ctl import lab
from ctl.lab import build, ground, keys, recipes
from ctl.lab.machine import alone, engine, survey

BOOT_SECONDS = 600
"""Without the help of the processor, and on a machine that does other things too."""


class Vm(Server):
    """Its second disk is /dev/vdb, blank, of 64 MB."""

    def __init__(self, host: lab.LabHost, folder: Path) -> None:
        self.folder = folder
        super().__init__(host, folder)

    def reboot(self) -> None:
        """Shut down in order and boot; returns when one can log in again."""
        before = self.sh("cat /proc/sys/kernel/random/boot_id")
        self.inside.run("systemctl reboot")
        self.close()
        until("another boot", lambda: self._boot_id() not in ("", before), seconds=BOOT_SECONDS, every=3)

    def _boot_id(self) -> str:
        words = ["ssh", "-F", str(self._config), "-o", "ControlPath=none", "-o", "ConnectTimeout=20", self.name]
        said = subprocess.run([*words, "cat", "/proc/sys/kernel/random/boot_id"], capture_output=True, text=True)
        return said.stdout.strip()


@contextlib.contextmanager
def vm(folder: Path) -> Iterator[Vm]:
    """A fresh one; removed at the end whatever happens."""
    key, public = keys.login()
    name = f"ctl-lab-vm-{os.getpid()}"
    with engine() as client:
        with alone():
            machine = survey()
            image = build.ensure(client, machine, recipes.load(machine, ground.IMAGE), "vm", say=print)
        container = client.containers.run(
            image, name=name, detach=True, ports={"22/tcp": ("127.0.0.1", None)}, environment={"KEYS": public.decode()}
        )
        try:
            container.reload()
            port = int(container.attrs["NetworkSettings"]["Ports"]["22/tcp"][0]["HostPort"])
            until("sshd in the VM", lambda: _greets(port), seconds=BOOT_SECONDS, every=3)
            known = folder / "known_hosts"
            scan = ["ssh-keyscan", "-T", "60", "-p", str(port), "127.0.0.1"]
            until("its keys", lambda: known.write_bytes(subprocess.run(scan, capture_output=True).stdout), seconds=300)
            host = lab.LabHost("vm", "127.0.0.1", port, "root", key, known, name, "127.0.0.1", True, ())
            server = Vm(host, folder)
            try:
                yield server
            finally:
                server.close()
        finally:
            container.remove(force=True, v=True)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
