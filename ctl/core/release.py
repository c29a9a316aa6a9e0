"""The rendered whole for one host: immutable, serialisable, content-addressed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec

from ctl.core.errors import InvalidFile
from ctl.core.route import External, Route
from ctl.core.secret import Secret

PHASES = {1: "1-setup", 2: "2-deploy", 3: "3-configure", 4: "4-add-service"}

_PATH = re.compile(r"(/[A-Za-z0-9._@+-]+)+")


def phase_number(folder: str) -> int:
    """`2-deploy` → 2. Raises KeyError."""
    return {name: number for number, name in PHASES.items()}[folder]


@dataclass(frozen=True, slots=True)
class File:
    """One managed file: absolute path, content, permission bits, `user:group`. Sensitive content is never shown."""

    path: str
    content: bytes
    phase: int
    mode: int = 0o644
    owner: str = "root:root"
    sensitive: bool = False

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path) or re.search(r"/\.\.?(/|$)", self.path):
            raise InvalidFile(self.path, "is not a path that this program writes to a host")

    @property
    def sha(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work: sh text that defines `check` and `apply`.

    `id` is `<phase folder>/<NN-name>[@<service>]`; `fingerprint` changes with the text and with the content of the
    managed files named as inputs; `timeout` is in seconds.
    """

    id: str
    title: str
    text: str
    phase: int
    fingerprint: str
    inputs: tuple[str, ...] = ()
    timeout: int = 600
    interactive: bool = False
    vital: bool = True
    """Whether its failure ends the run. Else that is a warning, and the next deploy tries again."""

    @property
    def folder(self) -> int:
        """The phase in whose folder it is written: for an added service an earlier one than that in which it runs."""
        return phase_number(self.id.split("/")[0])

    @property
    def prepares(self) -> bool:
        """Whether it comes before its phase's containers: setup and deploy do, what configures needs them running."""
        return self.folder <= 2


@dataclass(frozen=True, slots=True)
class Spawn:
    """Containers that one of ours starts itself: the label that they bear, and the image that is built for them."""

    title: str
    label: str
    image: str = ""
    context: str = ""
    """The managed file from which the image is built on the host."""


@dataclass(frozen=True, slots=True)
class Container:
    """One Compose service as it is to run.

    `service` is the template folder it comes from; `mounts` are the managed files that it reads when it starts.
    """

    name: str
    service: str
    image: str
    fingerprint: str
    phase: int = 2
    mounts: tuple[str, ...] = ()
    context: str = ""
    """The managed file from which the image is built on the host; empty for an image that is pulled."""
    replicas: int = 1
    rolling: bool = False
    """Whether it holds no state, so that a new one can stand beside the old one before that goes."""
    spawns: Spawn | None = None

    @property
    def images(self) -> tuple[tuple[str, str], ...]:
        """The images that it needs on the host, and the managed file from which each is built, if it is."""
        more = ((self.spawns.image, self.spawns.context),) if self.spawns and self.spawns.image else ()
        return ((self.image, self.context), *more)


@dataclass(frozen=True)
class Release:
    """Everything that is to be on one host. Equal content gives an equal id."""

    host: str
    stack: str
    root: str
    subnet: str
    files: tuple[File, ...]
    steps: tuple[Step, ...]
    containers: tuple[Container, ...]
    routes: tuple[Route, ...]
    externals: tuple[External, ...]
    memory: int
    """Megabytes that the services declare."""
    disk: int
    """Megabytes that the services declare."""
    spare: tuple[tuple[str, int], ...] = ()
    """Services that no other one needs, and the memory that each would set free, the largest first."""
    proxy: str = ""
    network: str = ""
    """Docker's name of the stack's network, where that is not the stack's."""
    gpu: Literal["", "auto", "nvidia"] = ""
    """Whose graphics card services have; `auto`: they would have the host's, and here it has none."""
    secrets: tuple[Secret, ...] = ()
    """Known values, for redaction; not part of what is serialised, nor of the id."""

    @cached_property
    def id(self) -> str:
        return hashlib.sha256(self.manifest()).hexdigest()[:12]

    def manifest(self) -> bytes:
        """The release as JSON, the files' content replaced by its SHA-256."""
        return msgspec.json.format(msgspec.json.encode(self._wire(), order="deterministic"), indent=1)

    def _wire(self) -> _Wire:
        return _Wire(
            host=self.host,
            stack=self.stack,
            root=self.root,
            subnet=self.subnet,
            files=tuple(_Entry(f.path, f.sha, f.phase, f.mode, f.owner, f.sensitive) for f in self.files),
            steps=self.steps,
            containers=self.containers,
            routes=self.routes,
            externals=self.externals,
            memory=self.memory,
            disk=self.disk,
            spare=self.spare,
            proxy=self.proxy,
            network=self.network,
            gpu=self.gpu,
        )

    def file(self, path: str) -> File | None:
        return self._by_path.get(path)

    @property
    def doors(self) -> tuple[tuple[str, int], ...]:
        """Every name that the proxy has, with a port at which it answers to it. A tunnel's name is not among them."""
        found = [(route.door, route.port) for route in self.routes]
        return tuple({name: (name, port) for name, port in reversed(found)}.values())[::-1]

    @cached_property
    def _by_path(self) -> dict[str, File]:
        return {file.path: file for file in self.files}

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(sorted({image for container in self.containers for image, _ in container.images}))


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    sha: str
    phase: int
    mode: int
    owner: str
    sensitive: bool


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    host: str
    stack: str
    root: str
    subnet: str
    files: tuple[_Entry, ...]
    steps: tuple[Step, ...]
    containers: tuple[Container, ...]
    routes: tuple[Route, ...]
    externals: tuple[External, ...]
    memory: int
    disk: int
    spare: tuple[tuple[str, int], ...] = ()
    proxy: str = ""
    network: str = ""
    gpu: Literal["", "auto", "nvidia"] = ""


def load_release(manifest: bytes, blobs: dict[str, bytes]) -> Release:
    """The inverse of `manifest()`; `blobs` maps each SHA-256 to its content. Raises InvalidFile."""
    try:
        wire = msgspec.json.decode(manifest, type=_Wire)
        files = tuple(File(f.path, blobs[f.sha], f.phase, f.mode, f.owner, f.sensitive) for f in wire.files)
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
        raise InvalidFile("release.json", f"is not a release: {error}") from error
    for file, entry in zip(files, wire.files, strict=True):
        if file.sha != entry.sha:
            raise InvalidFile("release.json", f"is not whole: the content of {file.path} has changed")
    return Release(
        host=wire.host,
        stack=wire.stack,
        root=wire.root,
        subnet=wire.subnet,
        files=files,
        steps=wire.steps,
        containers=wire.containers,
        routes=wire.routes,
        externals=wire.externals,
        memory=wire.memory,
        disk=wire.disk,
        spare=wire.spare,
        proxy=wire.proxy,
        network=wire.network,
        gpu=wire.gpu,
    )


def fingerprint(parts: Iterable[str]) -> str:
    """A short digest over texts in their order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{len(part)}:".encode())
        total.update(part.encode())
    return total.hexdigest()[:16]
