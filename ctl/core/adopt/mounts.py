"""What the containers of a Compose file mount, seen from a service of ours: volumes, folders for data, copied files.

A folder beside the Compose file is either configuration, whose files come along, or data, which gets a folder of its
own under the stack's `data/`. What lies outside is the host's, and refused unless it is allowed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ctl.core.adopt.compose import Found, Look, Source
from ctl.core.adopt.danger import Danger, mount
from ctl.core.adopt.schema import MountSpec, truth
from ctl.core.adopt.text import Spelling
from ctl.core.errors import InvalidFile

MAX_COPIED = 50
CLOCK = ("/etc/localtime", "/etc/timezone")

Say = Callable[[str, str], None]
"""("changed" or "open", a sentence)."""

_CONFIGURATION = re.compile(r"/(etc|docker-entrypoint[\w.-]*|conf|config|configs|conf\.d|provisioning|init)(/|$)")
_FILE = re.compile(
    r"\.(conf|cfg|cnf|ini|ya?ml|json|toml|xml|properties|env|sh|sql|js|py|rb|lua|php|html?|txt|crt|pem|key|hcl|star|db|sqlite3?)$"
    r"|(^|/)(Caddyfile|Corefile|acme\.json)$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Mounts:
    """Gathers the volumes, the folders to be made and the files to be copied of all containers of a service."""

    name: str
    look: Look
    spelling: Spelling
    declared: Mapping[str, Mapping[str, Any]]
    allowed: Collection[str]
    top: Source
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    copied: dict[str, str] = field(default_factory=dict)
    """Path in the template folder → text."""
    places: dict[str, str] = field(default_factory=dict)
    """Path beside the Compose file → where its copy is."""
    names: dict[str, str] = field(default_factory=dict)
    """What a volume stands for → its name."""
    used: set[str] = field(default_factory=set)
    """What was allowed and is in the file."""

    def take(self, given: str | MountSpec, source: Source, at: int, say: Say) -> Any:
        """One entry of `volumes` → what it is in the template, or None where it is left out."""
        spec = _long(given) if isinstance(given, str) else given
        if not spec.target.startswith("/"):
            raise source.fault("volumes", at, problem=f"expected SOURCE:/TARGET, got {given!r}")
        read_only = truth(spec.read_only)
        if spec.type == "tmpfs":
            return {"type": "tmpfs", "target": spec.target, **({"tmpfs": spec.tmpfs} if spec.tmpfs else {})}
        where: str | None
        if spec.type == "volume":
            where = self._volume(spec, source, say)
        elif spec.type == "bind":
            where = self._bind(spec, source, at, say)
        else:
            raise source.fault("volumes", at, problem=f"mounts of type {spec.type!r} cannot be taken")
        return where and self._spelled(where, spec, read_only)

    def _spelled(self, where: str, spec: MountSpec, read_only: bool) -> Any:
        subpath = spec.volume.get("subpath")
        if ":" in spec.target or subpath:
            kind = "bind" if where.startswith((".", "/")) else "volume"
            more = {"volume": {"subpath": subpath}} if subpath else {}
            return {"type": kind, "source": where, "target": spec.target, "read_only": read_only, **more}
        return f"{where}:{spec.target}{':ro' if read_only else ''}"

    def _volume(self, spec: MountSpec, source: Source, say: Say) -> str:
        if not spec.source:
            name = self._own(f"{source.path}{spec.target}", slug(spec.target))
            if name not in self.volumes:
                say("changed", f"what is mounted at {spec.target} had no name; it is the volume {name} now, and kept")
            return self._keep(name, {})
        name = self._own(f"volume {spec.source}", slug(spec.source))
        if name in self.volumes:
            return name
        if spec.source not in self.declared:
            say("changed", f"the volume {spec.source} was not declared under volumes:, and is now")
        about = self.declared.get(spec.source, {})
        driver = str(about.get("driver") or "local")
        if driver != "local":
            raise self.top.fault(
                "volumes", spec.source, "driver", problem=f"the driver {driver!r} is no part of Docker"
            )
        if about.get("external"):
            say("open", f"the volume {spec.source} is made outside of the file; {name} is a new one, and empty")
        options = about.get("driver_opts")
        if not isinstance(options, dict) or not options:
            return self._keep(name, {})
        device = str(options.get("device", ""))
        if "bind" in str(options.get("o", "")).split(","):
            if device.startswith("."):
                return self._folder(posixpath.normpath(device), name)
            self.check(mount(device), self.top, "volumes", spec.source)
        return self._keep(name, {"driver_opts": {key: str(value) for key, value in options.items()}})

    def _bind(self, spec: MountSpec, source: Source, at: int, say: Say) -> str | None:
        path = spec.source
        if path in CLOCK:
            say("changed", f"{path} of the host is not mounted; give the container TZ instead")
            return None
        if path.startswith("/"):
            self.check(mount(path), source, "volumes", at)
            return posixpath.normpath(path)
        inside = posixpath.normpath(path)
        if path.startswith("~") or inside.startswith(".."):
            what = "the home of whoever starts Compose" if path.startswith("~") else "outside of the file's folder"
            hint = "move it beside the file, or write the path that it has on the server"
            raise source.fault("volumes", at, problem=f"mounts {path}, {what}", hint=hint)
        found = self.look(inside)
        if found is None:
            if _FILE.search(inside) and _FILE.search(spec.target):
                hint = "put it there, and import again: its text comes along"
                raise source.fault("volumes", at, problem=f"{inside} is not beside the file", hint=hint)
            return self._data(inside, found, say)
        if found.entries is None:
            return self.copy(inside, found, source, "volumes", at)
        settings = inside != "." and (truth(spec.read_only) or _CONFIGURATION.search(spec.target))
        copied = self._copy_folder(inside, found.entries) if settings and found.entries else None
        return copied or self._data(inside, found, say)

    def _data(self, inside: str, found: Found | None, say: Say) -> str:
        name = self._own(f"folder {inside}", slug(inside) or "files")
        if name not in self.volumes:
            say(
                "changed",
                f"the folder {inside} is {self.name}/{_place(inside)} under the stack's data/, as volume {name}",
            )
            if found and found.entries:
                say("open", f"what is in {inside} here is not copied: bring it to the server before the first start")
        return self._folder(inside, name)

    def _folder(self, inside: str, name: str) -> str:
        if name not in self.volumes:
            self.folders.append(_place(inside))
            device = f"{self.spelling.expression('data')}/{self.name}/{_place(inside)}"
            self._keep(name, {"driver_opts": {"type": "none", "o": "bind", "device": device}})
        return name

    def _own(self, what: str, name: str) -> str:
        """In the stack all services' volumes stand side by side: with the service's name before it."""
        if what not in self.names:
            own = self.name.replace("-", "_")
            whole = name if name == own or name.startswith(f"{own}_") else f"{own}_{name}"
            free = (whole if at == 1 else f"{whole}_{at}" for at in range(1, 1000))
            self.names[what] = next(name for name in free if name not in self.names.values())
        return self.names[what]

    def _keep(self, name: str, spec: dict[str, Any]) -> str:
        if name not in self.volumes:
            self.volumes[name] = spec
            self.kept.append(name)
        return name

    def copy(self, path: str, found: Found, source: Source, *more: str | int) -> str:
        """A file beside the Compose file, into the template folder. Returns how the Compose file there names it."""
        if path not in self.places:
            if found.text is None:
                raise source.fault(
                    *more, problem=f"{path} is no text of less than 256 KiB, which is all a template holds"
                )
            if not found.text.strip():
                raise source.fault(*more, problem=f"{path} is empty, and a template that is empty makes no file")
            if "{{" in path or not path.isprintable():
                raise source.fault(*more, problem=f"a template cannot hold a file of the name {path!r}")
            self.places[path] = f"./{self.add(path, found.text)}"
        return self.places[path]

    def add(self, path: str, text: str) -> str:
        """A text as a file of the template folder, under a name that means nothing to the renderer."""
        name = re.sub(r"[^A-Za-z0-9._-]", "-", path.rsplit("/", 1)[-1]).lstrip(".").removesuffix(".j2") or "file"
        free = (f"conf/{n}" for n in (name, *(f"{at}-{name}" for at in range(2, 1000))))
        place = next(place for place in free if place not in self.copied)
        self.copied[place] = text
        return place

    def _copy_folder(self, folder: str, entries: Collection[str]) -> str | None:
        """All of a folder's files, or none of them: what holds anything but a few texts is data."""
        if folder in self.places:
            return self.places[folder]
        if len(entries) > MAX_COPIED:
            return None
        base = f"conf/{slug(folder)}"
        texts: dict[str, str] = {}
        for entry in entries:
            found = self.look(f"{folder}/{entry}")
            plain = re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", entry)
            if found is None or found.text is None or plain is None or entry.endswith(".j2") or not found.text.strip():
                return None
            texts[f"{base}/{entry}"] = found.text
        self.copied |= texts
        self.places[folder] = f"./{base}"
        return self.places[folder]

    def check(self, danger: Danger, source: Source, *more: str | int) -> None:
        """Raises InvalidFile for a danger that is not allowed."""
        if danger.name in self.allowed and not danger.never:
            self.used.add(danger.name)
            return
        raise refused(danger, source, *more)


def refused(danger: Danger, source: Source, *more: str | int) -> InvalidFile:
    allow = f"--allow {danger.name} takes it all the same; without it, take it out of the file"
    return source.fault(*more, *danger.path, problem=danger.problem, hint=danger.never or allow)


def _long(given: str) -> MountSpec:
    parts = given.split(":")
    if len(parts) == 1:
        return MountSpec("volume", parts[0])
    source, target, modes = parts[0], parts[1], parts[2].split(",") if len(parts) > 2 else []
    kind = "bind" if source.startswith((".", "/", "~")) else "volume"
    return MountSpec(kind, target, source, read_only="ro" in modes)


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:50]


def _place(inside: str) -> str:
    place = re.sub(r"[^A-Za-z0-9._/-]+", "-", inside).strip("/")
    return place if place != "." else "files"
