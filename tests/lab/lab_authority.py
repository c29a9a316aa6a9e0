"""An ACME authority (Pebble) and the name servers of lab.test (BIND with TSIG), in a container on the lab's network."""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from lab_project import until

from ctl.lab import build, ground, keys, recipes, servers
from ctl.lab.machine import alone, engine, survey
from ctl.lab.recipes import File, archive

PREFIX = "ctl-lab-authority-"
ZONE = "lab.test"
KEY = "acme."


class Authority:
    """Both of them."""

    def __init__(self, name: str, address: str, secret: str) -> None:
        self.name, self.address, self.secret = name, address, secret
        self.directory = f"https://{name}:14000/dir"

    def sh(self, text: str) -> str:
        done = subprocess.run(["docker", "exec", self.name, "sh", "-ec", text], capture_output=True, text=True)
        assert done.returncode == 0, f"{text}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.rstrip("\n")

    def lead(self, name: str, address: str) -> None:
        """Let a name lead to an address, and to no other; to none if that is empty."""
        lines = ["server 127.0.0.1", f"zone {ZONE}", f"update delete {name} A"]
        lines += [f"update add {name} 1 A {address}"] if address else []
        script = "\n".join([*lines, "send", ""])
        self.sh(f"nsupdate -y 'hmac-sha256:{KEY}:{self.secret}' <<'END'\n{script}END")

    def roots(self) -> str:
        """The certificate that clients have to trust, in PEM; Pebble makes another at every start."""
        return self._get("https://127.0.0.1:15000/roots/0") + self._get("https://127.0.0.1:15000/intermediates/0")

    def orders(self) -> int:
        """How many orders it was given so far."""
        log = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return (log.stdout + log.stderr).count("Added order ")

    def _get(self, url: str) -> str:
        url = url.replace("127.0.0.1", self.address)
        trust = ssl.create_default_context(cadata=keys.authority().pem.decode())
        trust.check_hostname = False  # the certificate has its name, and we its address
        with urllib.request.urlopen(url, context=trust, timeout=10) as answer:
            return str(answer.read().decode())


def serial(pem: str) -> str:
    """The serial number of the first certificate, in hex."""
    return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:x}"


@contextlib.contextmanager
def fresh_authority() -> Iterator[Authority]:
    """Both, made anew; removed at the end whatever happens."""
    _sweep()
    name = f"{PREFIX}{os.getpid()}"
    secret = base64.b64encode(os.urandom(32)).decode()
    with engine() as client, alone():
        machine = survey()
        book = recipes.load(machine, ground.IMAGE)
        image = build.ensure(client, machine, book, "acme", say=print)
        certificate, key = keys.server(keys.authority(), [name])
        container = client.containers.create(
            image,
            name=name,
            hostname="authority",
            labels={build.LABEL: "authority"},
            environment={"TSIG": secret},
            network=servers.NETWORK,
        )
        files = (File("etc/pebble/tls.crt", certificate), File("etc/pebble/tls.key", key))
        container.put_archive("/", archive(files))
        container.start()
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][servers.NETWORK]["IPAddress"]
    authority = Authority(name, address, secret)
    try:
        until("the authority to answer", lambda: _answers(authority), seconds=60)
        yield authority
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)


def _answers(authority: Authority) -> bool:
    with contextlib.suppress(OSError):
        return "BEGIN CERTIFICATE" in authority.roots()
    return False


def _sweep() -> None:
    """Remove what a killed run left behind."""
    form = ["docker", "ps", "-aq", "--format", "{{.Names}}", "--filter", f"name=^{PREFIX}"]
    for name in subprocess.run(form, capture_output=True, text=True, check=True).stdout.split():
        if not Path(f"/proc/{name.removeprefix(PREFIX)}").exists():
            subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)
