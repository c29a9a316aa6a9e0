"""What several suites build on: the shipped templates, a small release made by hand, and hosts that exist only here."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import jinja2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jinja2.bccache import Bucket

from ctl.core.image import Context
from ctl.core.inventory import Host
from ctl.core.plan import Plan
from ctl.core.ports import Result
from ctl.core.probe import ContainerFact, Facts, FileFact
from ctl.core.release import Container, File, Release, Step
from ctl.core.render import render
from ctl.core.route import Route
from ctl.core.secret import Secret
from ctl.core.selection import Selection, select
from ctl.core.service import Catalogue
from ctl.core.template import Templates
from ctl.edge.project import Project

REPOSITORY = Path(__file__).parent.parent
PROJECT = Project(Path("/nonexistent"))
NGROK = {"ngrok_domain": "example.ngrok-free.app"}


class Compiled(jinja2.BytecodeCache):
    """Compiled templates, by their text: compiling is what takes the time in these tests."""

    kept: ClassVar[dict[tuple[str, str], bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if found := self.kept.get((bucket.key, bucket.checksum)):
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


def make_templates(texts: Mapping[str, str]) -> Templates:
    return Templates(texts, cache=Compiled())


@cache
def texts() -> Mapping[str, str]:
    return PROJECT.templates()


@cache
def templates() -> Templates:
    return make_templates(texts())


def selection(stack: str = "lean-llm", own: Mapping[str, str] | None = None, **host: Any) -> Selection:
    """What a host with these settings runs; `own` are templates of the project, over the shipped ones."""
    host = {"vars": NGROK, **host}
    known = Catalogue({**texts(), **(own or {})})
    entry = Host(name="h1", address="203.0.113.1", user="root", port=22, stack=stack, **host)
    return select(entry, PROJECT.stack(stack), known, make_templates(known.templates), source="inventory.yaml")


def secrets_for(chosen: Selection) -> dict[str, Secret]:
    """A fixed value for every secret that is asked for; every one begins with what `SENTINEL` says."""
    return {name: Secret(name, f"sentinel-{name.lower()}-'\"$x#\\ z") for name in chosen.secrets}


SENTINEL = "sentinel-"


def rendered(stack: str = "lean-llm", own: Mapping[str, str] | None = None, **host: Any) -> Release:
    chosen = selection(stack, own, **host)
    return render(chosen, secrets_for(chosen), make_templates({**texts(), **(own or {})}), context)


def context(name: str, folders: Mapping[str, str]) -> Context:
    """A stand-in for the build contexts, which change with every line of the images' own code."""
    more = {f"{inside}/index.html": (folder.encode(), False) for inside, folder in folders.items()}
    return Context(name, {"Dockerfile": (b"FROM scratch\n", False), **more})


ROOT = "/opt/small"
APP_FILE = f"{ROOT}/stacks/app/app.conf"
UNIT = "/etc/systemd/system/small-app.service"


def step(step_id: str = "1-setup/10-a", phase: int = 1, mark: str = "s1", inputs: tuple[str, ...] = ()) -> Step:
    return Step(step_id, f"title of {step_id}", "check() { :; }\napply() { :; }\n", phase, mark, inputs)


def release(**changes: Any) -> Release:
    """Two files, three steps, two containers: enough for every rule of a plan."""
    whole = Release(
        host="h1",
        stack="small",
        root=ROOT,
        subnet="172.30.0.0/24",
        files=(
            File(APP_FILE, b"a = 1\n", 2),
            File(UNIT, b"[Unit]\n", 3),
        ),
        steps=(
            step(),
            step("3-configure/10-units", 3, "s2", (UNIT,)),
            step("3-configure/20-extra@app", 3, "s3"),
        ),
        containers=(
            Container("app", "app", "app:1", "f1", 2, (APP_FILE,)),
            Container("db", "db", "db:2", "f2"),
        ),
        routes=(Route("app", ("https://app.localhost",), "app:80"),),
        externals=(),
        memory=512,
        disk=1024,
    )
    return replace(whole, **changes)


def fit(**changes: Any) -> Facts:
    """A bare server that can carry anything."""
    bare = Facts(
        os="debian",
        version="13",
        codename="trixie",
        os_name="Debian GNU/Linux 13",
        arch="x86_64",
        bits="64",
        memory=8000,
        memory_free=6000,
        disk=50000,
        disk_free=40000,
        time=1700000000,
        systemd=True,
    )
    return replace(bare, **changes)


def settled(wanted: Release, **changes: Any) -> Facts:
    """What a host says on which the release is in place and nothing is to be done."""
    files = {file.path: FileFact(file.sha, file.mode, file.owner) for file in wanted.files}
    there = fit(
        docker="running",
        networks=((wanted.stack, wanted.subnet),),
        current=wanted.id,
        files=files,
        applied=dict(files),
        stamps={each.id: each.fingerprint for each in wanted.steps},
        checks={each.id: True for each in wanted.steps},
        containers=tuple(container_fact(each) for each in wanted.containers),
    )
    return replace(there, **changes)


def container_fact(wanted: Container, **changes: Any) -> ContainerFact:
    running = ContainerFact(
        id=f"id-of-{wanted.name}",
        name=wanted.name,
        state="running",
        health="healthy",
        fingerprint=wanted.fingerprint,
        image=wanted.image,
        service=wanted.service,
        status="Up 2 hours (healthy)",
    )
    return replace(running, **changes)


def probe_output(facts: Facts) -> bytes:
    """What the probe prints on a host with these facts."""
    lines: list[tuple[object, ...]] = [
        ("ctl-probe", 1),
        ("os", facts.os, facts.os_like, facts.version, facts.codename, facts.os_name),
        ("arch", facts.arch, facts.bits),
        ("memory", facts.memory * 1024, facts.memory_free * 1024),
        ("disk", facts.disk * 1024, facts.disk_free * 1024),
        ("time", facts.time),
        ("systemd", "yes" if facts.systemd else "no"),
        ("tools", " ".join(facts.missing_tools)),
        ("current", facts.current),
        ("last", facts.last),
        *([("lock", facts.lock)] if facts.locked else []),
        *(("applied", was.sha, f"{was.mode:04o}", was.owner, path) for path, was in facts.applied.items()),
        *(("stamp", name, mark) for name, mark in facts.stamps.items()),
        *(("sha", now.sha, path) for path, now in facts.files.items()),
        *(("mode", f"{now.mode:o}", now.owner, path) for path, now in facts.files.items()),
        *(("container", c.id, c.name, c.state, c.status, c.fingerprint, c.image, c.service) for c in facts.containers),
        *(("spawned", label, count) for label, count in facts.spawned.items()),
        ("docker", facts.docker),
        *(("unit", name, unit.active, unit.sub, unit.enabled) for name, unit in facts.units.items()),
        *(("check", name, "yes" if answer else "no") for name, answer in facts.checks.items()),
        *(("secret", name, mark) for name, mark in facts.secrets.items()),
        *(("external", name, status) for name, status in facts.externals.items()),
        *(("certificate", name, der[:1000], der[1000:]) for name, der in facts.certificates.items()),
        *([("refused", facts.refused)] if facts.refused else []),
        *(("listen", f"{host}:{port}", program) for host, port, program in facts.listeners),
        *(("neighbour", *words) for words in facts.neighbours),
        *(("network", *words) for words in facts.networks),
        *(("route", *words) for words in facts.routes),
        *(("card", address) for address in facts.cards.found),
        *([("driver", facts.cards.driver)] if facts.cards.driver else []),
        *(("gpu", name) for name in facts.cards.ready),
        *([("given", "yes")] if facts.cards.given else []),
        ("end",),
    ]
    return "".join("\t".join(map(str, line)) + "\n" for line in lines).encode()


def sent(command: str) -> str:
    """The sh text inside a command that `script.as_root` made."""
    packed = command.split("printf %s ", 1)[1].split(" ", 1)[0]
    return gzip.decompress(base64.b64decode(packed)).decode()


def members(archive: bytes) -> dict[str, bytes]:
    """The files of a tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}  # type: ignore[union-attr]


class Machine:
    """A host for FakeTransport: it tells its facts, hands over files, and answers a run with a log.

    `facts` may be a function of the release: a machine that is as the release wants it, whichever that is. `started`
    holds the archives of the runs, `texts` every sh text that was sent, `peer` is where it sees us come from.
    """

    def __init__(
        self,
        facts: Facts | Callable[[str], Facts],
        *,
        log: bytes = b"@ release r\n@ exit 0\n",
        contents: Mapping[str, bytes] | None = None,
        peer: str = "198.51.100.7",
    ) -> None:
        self.peer = peer
        self.facts, self.log, self.contents = facts, log, contents or {}
        self.started: list[bytes] = []
        self.texts: list[str] = []

    def __call__(self, command: str, stdin: bytes) -> Result | Exception:
        if "SSH_CONNECTION" in command:
            return Result(0, f"{self.peer}\n".encode(), b"")
        text = sent(command)
        self.texts.append(text)
        if "say ctl-probe 1" in text:
            return Result(0, probe_output(self.facts(text) if callable(self.facts) else self.facts), b"")
        if text.startswith("tar -c"):
            return Result(0, self.tar(), b"")
        if "tar -xzf" in text:
            self.started.append(stdin)
            return Result(0, self.log, b"")
        raise LookupError(text)

    def tar(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, content in self.contents.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()


def names(plan: Plan) -> list[str]:
    """The changes of a plan, short: `create /etc/x`, `step 1-setup/10-a`, `recreate app`."""
    return [_name(change) for change in plan.changes]


def _name(change: Any) -> str:
    if hasattr(change, "step"):
        return f"step {change.step.id}"
    return f"{change.kind} {getattr(change, 'path', None) or change.name}"


def der(name: str, *, begins: datetime, ends: datetime, issuer: str = "") -> str:
    """A certificate for a name and what is below it, in base64; without an issuer it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, signer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer or name))
    made = (
        x509.CertificateBuilder(signer, subject, key.public_key(), 0x1234, begins, ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName(f"*.{name}")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()
