"""The texts of a template folder that was made from a Compose file, in the shape of those that are written by hand."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from ctl.core.adopt.door import Door
from ctl.core.adopt.secrets import Declared
from ctl.core.adopt.text import Spelling, comment, without_jinja
from ctl.core.secret import SecretSpec

NoteKind = Literal["taken", "changed", "open"]


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence of the report. `open` is what a person still has to do or to look at."""

    kind: NoteKind
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """What is to be written: the containers' fragments by name, and what the whole is called and came from."""

    name: str
    file: str
    door: Door
    image: str
    fragments: Mapping[str, Any]


def x_ctl(
    what: Written,
    secrets: Iterable[Declared],
    variables: Mapping[str, Any],
    volumes: Collection[str],
    databases: Collection[str],
) -> dict[str, Any]:
    """The block, in the order in which people read it."""
    block: dict[str, Any] = {"summary": f"{what.name}, from {what.file} ({what.image})", "category": "own"}
    if what.door.http:
        block["route"] = {"port": what.door.port, "websocket": True, "stream": True}
        block["auth"] = "proxy"
    block["exposure"] = "tailnet" if what.door.http else "internal"
    if variables:
        block["vars"] = dict(variables)
    if specs := {declared.name: _spec(declared.spec) for declared in secrets}:
        block["secrets"] = specs
    limits = [fragment["deploy"]["resources"]["limits"]["memory"] for fragment in what.fragments.values()]
    # Half of what the containers may take is what they have to find free.
    block["requires"] = {"memory": f"{max(sum(map(_megabytes, limits)) // 2, 64)}M", "disk": "2G"}
    backup: dict[str, Any] = {"volumes": list(volumes)} if volumes else {}
    if databases:
        backup["databases"] = [_database(name, what.fragments[name]) for name in databases]
    if backup:
        block["backup"] = backup
    if what.door.http and what.door.health:
        block["verify"] = [{"path": what.door.health}]
    return block


def compose_file(
    what: Written, spelling: Spelling, top: Mapping[str, Any], block: Mapping[str, Any], notes: Iterable[Note]
) -> str:
    """`top` is what stands beside the services. What a person has to look at stands above each container."""
    source = comment(what.file)
    lines = [f"# Made from {source} by ctl add-service --from; from here on it is yours to change.\n", "services:\n"]
    for name, fragment in what.fragments.items():
        lines += [f"  # {comment(note.text)}\n" for note in notes if note.about == name and note.kind == "open"]
        body = spelling.spell({name: fragment})
        lines += [f"  {line}" if line.strip() else line for line in body.splitlines(keepends=True)]
    if top:
        lines.append(spelling.spell(dict(top)))
    return "".join(lines) + without_jinja({"x-ctl": dict(block)})


def _spec(spec: SecretSpec) -> dict[str, Any]:
    default = SecretSpec()
    given = msgspec.structs.asdict(spec)
    return {key: value for key, value in given.items() if key == "about" or value != getattr(default, key)}


def _database(name: str, fragment: Mapping[str, Any]) -> dict[str, str]:
    user = str(fragment.get("environment", {}).get("POSTGRES_USER", "postgres"))
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", user)
    return {"container": name, **({"user": user} if plain and user != "postgres" else {})}


def _megabytes(size: Any) -> int:
    found = re.match(r"\s*(\d+(?:\.\d+)?)\s*([kmgtKMGT]?)", str(size))
    if not found:
        return 1024
    factor = {"": 1 / 1024**2, "k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2}[found[2].lower()]
    return round(float(found[1]) * factor)


def folders_step(name: str, folders: Collection[str]) -> str:
    """The step that makes the folders of data; their names consist of harmless letters."""
    words = " ".join(folders)
    return (
        f"# The folders of {name}'s data\n"
        f"top={{{{ data }}}}/{name}\n"
        f'check() {{ for folder in {words}; do [ -d "$top/$folder" ] || return 1; done; }}\n'
        f'apply() {{ for folder in {words}; do (umask 022 && mkdir -p "$top/$folder") || return 1; done; }}\n'
    )
