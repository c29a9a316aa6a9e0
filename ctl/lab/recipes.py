"""The recipes of the lab's images: the folders under `images/`, read into values and named by their content.

A recipe is a folder with a Dockerfile. Two things in it are read here:
* `FROM lab/NAME` (any stage) makes the recipe NAME of this lab its base, by whatever tag that one has now;
* a comment `# serves: REGISTRY/REPOSITORY:TAG` puts the image into the lab's registry under that name; with
  `# serves, with CTL_LAB_REAL=1: …` only where that is set, since it takes minutes and gigabytes.
The tag of an image is a hash over all that goes into it, its bases included: a changed recipe is another image and gets
built, an unchanged one is found.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ctl.core.errors import CtlError
from ctl.lab.machine import Machine

IMAGES = Path(__file__).parent / "images"
NAMESPACE = "ctl-lab"
GROUND = "ground"
"""The base that no Dockerfile makes: Debian itself, see `ground.py`."""

_FROM = re.compile(r"^(FROM\s+)lab/([a-z0-9-]+)", re.MULTILINE)
_SERVES = re.compile(r"^# serves(, with CTL_LAB_REAL=1)?: ([a-z0-9.-]+)/([a-z0-9/._-]+):([\w.-]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """One file of a build context or of a host: path without leading slash, bytes, mode, owner."""

    path: str
    data: bytes
    mode: int = 0o644
    uid: int = 0


@dataclass(frozen=True, slots=True)
class Upstream:
    """The public name that an image stands for: `docker.io`, `library/caddy`, `2.11.4-alpine`."""

    registry: str
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image: what goes into its build, and what its name is."""

    name: str
    files: tuple[File, ...]
    bases: tuple[str, ...]
    serves: Upstream | None
    slow: bool
    """Whether it is built and served only with CTL_LAB_REAL=1."""
    digest: str
    """The first 16 hex digits of a SHA-256 over the files and the digests of the bases."""
    own: str
    """The same over the folder alone, as it stands in the repository."""

    @property
    def image(self) -> str:
        return f"{NAMESPACE}/{self.name}:{self.digest}"


def load(machine: Machine, ground: str) -> Mapping[str, Recipe]:
    """Every recipe by name, each after its bases. `ground` is the image that `FROM lab/ground` means."""
    folders = {path.parent.name: path.parent for path in sorted(IMAGES.glob("*/Dockerfile"))}
    done: dict[str, Recipe] = {}
    while missing := [name for name in folders if name not in done]:
        ready = [name for name in missing if all(base in done or base == GROUND for base in _bases(folders[name]))]
        if not ready:
            raise CtlError(f"lab images that need each other or a base that is not there: {', '.join(missing)}")
        for name in ready:
            done[name] = _recipe(folders[name], done, machine, ground)
    return done


def _bases(folder: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found[1] for found in _FROM.findall((folder / "Dockerfile").read_text())))


def _recipe(folder: Path, done: Mapping[str, Recipe], machine: Machine, ground: str) -> Recipe:
    text = (folder / "Dockerfile").read_text()
    bases = _bases(folder)
    images = {GROUND: ground} | {base: done[base].image for base in bases if base in done}
    written = File("Dockerfile", text.encode())
    files = [File("Dockerfile", _FROM.sub(lambda found: found[1] + images[found[2]], text).encode())]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "Dockerfile":
            data = path.read_bytes()
            # Not from the file's own mode: an installed package may have lost it.
            files.append(File(str(path.relative_to(folder)), data, 0o755 if data.startswith(b"#!") else 0o644))
    own = _digest([written, *files[1:]])
    if GROUND in bases:
        files.extend(_machine_files(machine))
    serves = _SERVES.search(text)
    upstream = Upstream(serves[2], serves[3], serves[4]) if serves else None
    slow = bool(serves and serves[1])
    return Recipe(folder.name, tuple(files), bases, upstream, slow, _digest(files), own)


def _machine_files(machine: Machine) -> Iterable[File]:
    """What this machine adds to the image on the ground, from which all others come: see `images/debian/Dockerfile`."""
    suites = ((machine.debian, "trixie trixie-updates"), (machine.security, "trixie-security"))
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources = "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {names}\nComponents: main\nSigned-By: {keyring}\n"
        for uri, names in suites
        if uri
    )
    if machine.debian:
        yield File("machine/etc/apt/sources.list.d/debian.sources", sources.encode())
    yield File("machine/etc/apt/apt.conf.d/90lab", "".join(f"{line}\n" for line in machine.apt_settings).encode())
    yield File("machine/usr/local/share/ca-certificates/README", b"Authorities of the machine that built this image.\n")
    for name, pem in machine.authorities:
        yield File(f"machine/usr/local/share/ca-certificates/{name}", pem)
    yield File("bundle.pem", machine.bundle)


def _digest(files: Iterable[File]) -> str:
    """The names of the bases are in the Dockerfile by now, so their digests are in this one."""
    sha = hashlib.sha256()
    for file in files:
        for part in (file.path.encode(), str(file.mode).encode(), file.data):
            sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()[:16]


def archive(files: Iterable[File]) -> bytes:
    """An uncompressed tar of the files, as a build context or for a container. The same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.size, entry.mode, entry.uid, entry.gid = len(file.data), file.mode, file.uid, file.uid
            tar.addfile(entry, io.BytesIO(file.data))
    return buffer.getvalue()
