"""What the doctor asks a host beyond the probe: what Docker is there, who is at work, and what it can reach."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ctl.core import quoting
from ctl.core.probe import MAX_BYTES, clean
from ctl.core.release import Release
from ctl.core.template import Templates

DOCKER_PACKAGES = "https://download.docker.com/linux/"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the host said beyond `Facts`."""

    engine: tuple[str, str] = ("", "")
    """Path and version of `docker`."""
    images: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    held: tuple[tuple[str, str], ...] = ()
    """Locks of the package system: file, program."""
    certificates: tuple[tuple[str, str], ...] = ()
    reached: tuple[tuple[str, str], ...] = ()


def script(probe: str, release: Release, templates: Templates, *, official_docker: bool) -> str:
    """The sh text: the probe's, then what only the doctor asks."""
    images = " ".join(quoting.sh(image) for image in release.images)
    return "\n".join(
        (
            probe,
            templates.source("host/doctor.sh"),
            f"engine {images}",
            "addresses",
            "package_locks",
            "certificates",
            *(f"reach {quoting.sh(url)} &" for url in asked_for(release, official_docker=official_docker)),
            "wait",
            "",
        )
    )


def asked_for(release: Release, *, official_docker: bool) -> list[str]:
    """The addresses that the host has to reach."""
    hosts = sorted({registry(image) for image in release.images})
    return [f"https://{host}/v2/" for host in hosts] + [DOCKER_PACKAGES] * official_docker


def registry(image: str) -> str:
    """`caddy:2` → registry-1.docker.io, `ghcr.io/a/b:1` → ghcr.io."""
    first, slash, _ = image.partition("/")
    return first if slash and re.search(r"[.:]|^localhost$", first) else "registry-1.docker.io"


def parse(output: bytes) -> Surroundings:
    """The lines after the probe's own. What is not one of ours is left out."""
    rows: dict[str, list[list[str]]] = {}
    for line in output[:MAX_BYTES].decode("utf-8", "replace").split("\n"):
        kind, *words = (clean(word) for word in line.split("\t"))
        rows.setdefault(kind, []).append([*words, "", "", ""])
    first = rows.get("engine", [["", ""]])[0]
    return Surroundings(
        engine=(first[0], first[1]),
        images=frozenset(row[0] for row in rows.get("image", ())),
        addresses=frozenset(row[0] for row in rows.get("address", ())),
        held=tuple((row[0], row[1]) for row in rows.get("held", ())),
        certificates=tuple((row[0], row[1]) for row in rows.get("certificate", ())),
        reached=tuple((row[0], row[1]) for row in rows.get("reach", ())),
    )
