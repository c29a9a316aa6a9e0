"""A Compose file that people have → a template folder of ours, and a report: what was taken, changed and left open.

`adopt` is the whole way: read (compose), find the door (door), settle the secrets (secrets), turn
every container into its fragment (service, mounts), and write it all (here). Nothing is guessed in
silence: what is not in the file stands in the report.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ctl.core.adopt import compose
from ctl.core.adopt.compose import Look, Project, Source, no_value
from ctl.core.adopt.door import Door, Port, find_door
from ctl.core.adopt.images import known
from ctl.core.adopt.mounts import Mounts
from ctl.core.adopt.schema import Blob, Entry, depends, truth
from ctl.core.adopt.secrets import Declared
from ctl.core.adopt.service import Ground, container, floating
from ctl.core.adopt.text import RESERVED, Marks, each_text
from ctl.core.adopt.values import Texts
from ctl.core.adopt.write import Note, NoteKind, Written, compose_file, folders_step, x_ctl
from ctl.core.document import MAX_BYTES
from ctl.core.errors import InvalidFile, UsageError

MAX_SERVICES = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


@dataclass(frozen=True, slots=True)
class Adopted:
    """The template folder (path inside it → text), the secrets' values that the file held, and the report."""

    name: str
    files: Mapping[str, str]
    kept: Mapping[str, str]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person says beside the file: dangers allowed by name, versions for images that have none."""

    allow: Collection[str] = ()
    pins: Mapping[str, str] = field(default_factory=dict)


def proper_name(text: str) -> str:
    """A project's or a folder's name as that of a service, or nothing."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:41].strip("-")
    return name if _NAME.fullmatch(name) else ""


def adopt(text: str, file: str, look: Look, name: str, wishes: Wishes, taken: Collection[str] = ()) -> Adopted:
    """`name` may be empty: then it is the project's own. `taken` are names that the stack's network knows already.

    Raises InvalidFile with the line, UsageError for a name or a wish that fits nothing.
    """
    env = look(".env")
    values = env.values() if env else {}
    if odd := next((key for key, value in values.items() if RESERVED.search(value)), None):
        raise InvalidFile(".env", f"the value of {odd} holds a character that stands for a value here")
    marks = Marks(values)
    project = compose.read(text, file, look, marks)
    if len(project.services) > MAX_SERVICES:
        raise InvalidFile(file, f"has more than {MAX_SERVICES} services")
    name = name or proper_name(project.name)
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a service", hint="lower-case letters, digits and -; give one: NAME")
    if name in taken:
        raise UsageError(f"there is a service {name} already", hint="give this one another name")
    return _Adoption(project, marks, look, name, wishes, taken).whole(file)


class _Adoption:
    """One import, from the project as it was read to the files."""

    def __init__(
        self, project: Project, marks: Marks, look: Look, name: str, wishes: Wishes, taken: Collection[str]
    ) -> None:
        self.project, self.look, self.name, self.wishes = project, look, name, wishes
        self.notes: dict[Note, None] = {}  # in order, and each once
        self.texts = Texts(project, marks, look, name, taken, self.say)

    def say(self, kind: NoteKind, about: str, text: str) -> None:
        self.notes.setdefault(Note(kind, about, text))

    def whole(self, file: str) -> Adopted:
        services = self.chosen()
        sources = self.project.sources
        environment = {name: self.texts.environment(name, entry) for name, entry in services.items()}
        plain = {name: self.texts.plain(name, entry) for name, entry in services.items()}
        self.check_depends(plain)
        if loose := floating(plain, sources, self.wishes.pins):
            raise loose
        ports = {name: self.texts.ports(name) for name in plain}
        door = find_door({name: self.texts.shown(entry) for name, entry in plain.items()}, ports, self.name)
        self.texts.settle(plain, environment)
        ground = self.ground(plain, door)
        fragments = {}
        for name, entry in plain.items():
            own = ground.names[name]
            entry = msgspec.structs.replace(entry, **self.texts.commands(entry, self.texts.hosts(name, door, ground)))
            values = self.texts.values(name, environment, door, ports[door.service], ground)
            fragments[own] = container(
                name,
                entry,
                sources[name],
                ground,
                values,
                lambda kind, said, own=own: self.say(kind, own, said),  # type: ignore[misc]
            )
        databases = [ground.names[n] for n, entry in plain.items() if known(entry.image or "").postgres]
        self.check_wishes(ground)
        self.say_ports(ports, door, ground)
        self.say_rest(door, ground, databases)
        written = Written(self.name, file.rsplit("/", 1)[-1], door, fragments[self.name]["image"], fragments)
        block = x_ctl(written, self.declared_used(), self.texts.vars, ground.mounts.kept, databases)
        whole = compose_file(written, self.texts.spelling, self.top(fragments, ground), block, self.notes)
        files = {"compose.yaml.j2": whole}
        if len(whole.encode()) > MAX_BYTES:
            raise InvalidFile(file, "makes a template that is too large to be read")
        if ground.mounts.folders:
            files["steps/2-deploy/10-folders.sh.j2"] = folders_step(self.name, ground.mounts.folders)
        return Adopted(self.name, files | ground.mounts.copied, self.kept(), tuple(self.notes))

    def chosen(self) -> dict[str, Entry]:
        """The services without a profile, as Compose starts them."""
        services = {name: entry for name, entry in self.project.services.items() if not entry.profiles}
        for name, entry in self.project.services.items():
            if name not in services:
                self.say(
                    "changed",
                    name,
                    f"is left out: it is started with the profile {', '.join(entry.profiles or ())} only",
                )
        if not services:
            first = next(iter(self.project.services))
            raise self.project.sources[first].fault(
                "profiles", problem="every service has a profile", hint="take one out"
            )
        return services

    def check_depends(self, services: Mapping[str, Entry]) -> None:
        for name, entry in services.items():
            for other in depends(entry):
                if other not in self.project.services:
                    raise self.project.sources[name].fault(
                        "depends_on", other, problem=f"there is no service {other!r}"
                    )

    def ground(self, services: Mapping[str, Entry], door: Door) -> Ground:
        names = {name: self.own_name(name, door) for name in services}
        if len(set(names.values())) < len(names):
            raise UsageError(
                f"two containers would have one name: {', '.join(sorted(names.values()))}", hint="rename one"
            )
        mounts = Mounts(
            self.name,
            self.look,
            self.texts.spelling,
            self._settled(self.project.volumes),
            self.wishes.allow,
            self.project.top,
        )
        configs = {key: self.config(key, blob, mounts) for key, blob in self.project.configs.items()}
        granted = {key: self.granted(key, blob) for key, blob in self.project.secrets.items()}
        networks = self.networks(services) if len(services) > 1 else {}
        for name, own in names.items():
            if name != own and len(names) > 1:
                self.say("changed", own, f"is the file's {name}, and still known by that name to the others")
        wishes = self.wishes
        return Ground(
            self.name,
            names,
            door,
            mounts,
            wishes.allow,
            wishes.pins,
            networks,
            configs,
            granted,
            self.listens(services, door),
        )

    def listens(self, services: Mapping[str, Entry], door: Door) -> dict[str, int]:
        """The port at which each container's health can be seen, as far as it is known; with another command than
        the image's own it may well be a worker that listens nowhere."""
        found: dict[str, int] = {}
        for name, entry in services.items():
            about = known(entry.image or "")
            told = [port.target for port in self.texts.ports(name) if port.protocol == "tcp"]
            own = about.port if about.part or not (entry.command or entry.entrypoint) else 0
            found[name] = door.port if name == door.service else own or (told[0] if told else 0)
        return found

    def _settled(self, volumes: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        try:
            return each_text(volumes, self.texts.marks.plain)  # type: ignore[no-any-return]
        except LookupError as error:
            raise no_value(str(error.args[0]), self.project.top, "volumes") from None

    def own_name(self, name: str, door: Door) -> str:
        if name == door.service:
            return self.name
        plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
        return plain if plain.startswith(f"{self.name}-") else f"{self.name}-{plain}"

    def networks(self, services: Mapping[str, Entry]) -> dict[str, str]:
        """The file's own networks, without fixed addresses and names; the one that it does not name is `default`."""
        own = self.name.replace("-", "_")
        out = {"default": f"{own}_parts"}
        for name, about in self.project.networks.items():
            if about.get("external"):
                self.say("changed", name, "this network is made outside of the file, and left out")
            elif name != "default" and any(name in (entry.networks or ()) for entry in services.values()):
                out[name] = f"{own}_{re.sub('[^a-z0-9]+', '_', name.lower())}"
        for name, entry in services.items():
            fixed = isinstance(entry.networks, dict) and any("address" in str(v) for v in entry.networks.values())
            if fixed:
                self.say("changed", name, "its fixed address is left out: containers are found by name")
        return out

    def config(self, key: str, blob: Blob, mounts: Mounts) -> str:
        source = Source(self.project.top.document, ("configs", key))
        if blob.file is not None:
            path = compose.relative(self._plain_top(blob.file, source))
            found = self.look(path)
            if found is None or found.entries is not None:
                raise source.fault("file", problem=f"{path} is not beside the file")
            return mounts.copy(path, found, source, "file")
        if blob.content is not None:
            return f"./{mounts.add(key, self._plain_top(blob.content, source))}"
        raise source.fault(problem="is made outside of the file", hint="give it a file or a content")

    def granted(self, key: str, blob: Blob) -> str:
        """A secret that is mounted: declared like the others, its value read from its file."""
        source = Source(self.project.top.document, ("secrets", key))
        value = None
        if blob.file is not None:
            path = compose.relative(self._plain_top(blob.file, source))
            found = self.look(path) if not path.startswith("..") else None
            value = found.text.rstrip("\n") if found and found.text else None
        elif blob.environment is not None:
            value = self.texts.marks.values.get(blob.environment)
        self.texts.secrets.grant(key, value)
        self.texts.declared = self.texts.secrets.declare(self.texts.prefix)
        self.texts.used.add(key)
        return self.texts.spelling.expression(f"secret('{self.texts.declared[key].name}')")

    def _plain_top(self, text: str, source: Source) -> str:
        try:
            return self.texts.marks.plain(text)
        except LookupError as error:
            raise no_value(str(error.args[0]), source) from None

    def check_wishes(self, ground: Ground) -> None:
        """A wish that fits nothing is a mistake that must not go unnoticed."""
        for name in self.wishes.allow:
            if name not in ground.mounts.used:
                raise UsageError(f"--allow {name}: the file asks for no such thing")
            self.say("open", name, "is allowed, as you said: a container has it from the host")
        for image in self.wishes.pins:
            if image not in ground.pinned:
                raise UsageError(f"--pin {image}: the file has no such image")

    def say_ports(self, ports: Mapping[str, tuple[Port, ...]], door: Door, ground: Ground) -> None:
        own = ground.names[door.service]
        if door.http:
            sure = "" if door.http == "known" else "; that it speaks HTTP is assumed"
            self.say("taken" if not sure else "open", own, f"is the door, at port {door.port} ({door.why}){sure}")
        elif door.port:
            self.say(
                "open",
                own,
                f"port {door.port} does not speak HTTP: it has no door, and answers on the stack's network only",
            )
        else:
            self.say("open", own, "no port was found: it has no door. Where it has one, write x-ctl.route: {port: …}")
        for name, published in ports.items():
            for port in published:
                if (name, port.target) != (door.service, door.port) or not door.http:
                    shown = f"{port.target}/udp" if port.protocol == "udp" else str(port.target)
                    what = f"port {shown} is not published: the proxy is the only door"
                    self.say("changed", ground.names[name], what)

    def say_rest(self, door: Door, ground: Ground, databases: Collection[str]) -> None:
        if door.http:
            self.say(
                "open",
                self.name,
                "the proxy asks for a password before it; if it has a login of its own: auth: builtin",
            )
        for declared in self.declared_used():
            self.say("open" if declared.open else "taken", declared.name, declared.why)
        if ground.mounts.kept or databases:
            dumps = ", and dumps of Postgres" if databases else ""
            self.say("taken", "backup", f"volumes {', '.join(ground.mounts.kept) or '-'}{dumps}")

    def declared_used(self) -> list[Declared]:
        used = {d.name: d for key, d in self.texts.declared.items() if key in self.texts.used}
        return list(used.values())

    def top(self, fragments: Mapping[str, Any], ground: Ground) -> dict[str, Any]:
        """What stands beside `services:`."""
        top: dict[str, Any] = {}
        used = {network for fragment in fragments.values() for network in fragment.get("networks", ())} - {"default"}
        if used:
            closed = {
                ground.networks.get(n)
                for n, spec in self.project.networks.items()
                if truth(spec.get("internal") or False)
            }
            top["networks"] = {n: {"internal": True} if n in closed else {} for n in sorted(used)}
        if ground.mounts.volumes:
            top["volumes"] = ground.mounts.volumes
        granted = [
            key for key in self.project.secrets if any(key in f.get("x-secrets", {}) for f in fragments.values())
        ]
        if granted:
            top["secrets"] = {f"{self.name}_{key}": {"environment": self.texts.declared[key].name} for key in granted}
        return top

    def kept(self) -> dict[str, str]:
        return {declared.name: declared.value for declared in self.declared_used() if declared.value is not None}
