"""The texts of a Compose file's containers: what becomes of each variable, each secret and each name in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from ctl.core.adopt import compose
from ctl.core.adopt.compose import Look, Project, no_value
from ctl.core.adopt.door import Door, Port, port_of
from ctl.core.adopt.images import known
from ctl.core.adopt.schema import Entry, PortSpec, env_files, pairs, truth
from ctl.core.adopt.secrets import Declared, Part, Secrets, is_secret_name
from ctl.core.adopt.service import Ground, Rehost, rehost
from ctl.core.adopt.text import OPEN, RESERVED, Marks, Spelling, Variable, comment, each_text
from ctl.core.adopt.write import NoteKind
from ctl.core.errors import InvalidFile, UsageError

Tell = Callable[[NoteKind, str, str], None]
"""(kind, about, text): a note of the report."""


class Texts:
    """First read everything (`environment`, `plain`, `ports`), then `settle`, then ask for what is to be written.

    `name` is the service's; `taken` are names that the stack's network knows already.
    """

    def __init__(
        self, project: Project, marks: Marks, look: Look, name: str, taken: Collection[str], say: Tell
    ) -> None:
        self.services, self.sources = project.services, project.sources
        self.marks, self.look, self.taken, self.say = marks, look, taken, say
        self.spelling = Spelling()
        self.prefix = name.upper().replace("-", "_")
        self.secrets = Secrets(marks, {name, *project.services})
        self.declared: dict[str, Declared] = {}
        self.vars: dict[str, dict[str, Any]] = {}
        self.used: set[str] = set()

    def environment(self, name: str, entry: Entry) -> dict[str, str | None]:
        """Marked texts: what the env files say, and over it what `environment` says."""
        values: dict[str, str | None] = {}
        for file in env_files(entry):
            path = compose.relative(self.value(file.path, name, "env_file"))
            found = self.look(path)
            if found is None:
                if truth(file.required):
                    raise self.sources[name].fault(
                        "env_file", problem=f"{path} is not beside the file", hint="put it there: its values come along"
                    )
                continue
            there = found.values()
            values |= there
            if odd := next((key for key, value in there.items() if RESERVED.search(value)), None):
                raise InvalidFile(path, f"the value of {odd} holds a character that stands for a value here")
        whole = values | pairs(entry.environment)
        plain = {self.value(key, name, "environment"): text for key, text in whole.items()}
        return {key: text and self.opened(key, text) for key, text in plain.items()}

    def opened(self, key: str, text: str) -> str:
        """With the values of the variables that hold no secret: what an address says is read from it."""

        def value(variable: Variable) -> str:
            keep = variable.value is None or is_secret_name(key) or is_secret_name(variable.name)
            return self.marks.mark(variable) if keep else str(variable.value)

        return str(self.marks.replace(text, value))

    def value(self, text: str, name: str, *more: str | int) -> str:
        try:
            return self.marks.plain(text)
        except LookupError as error:
            raise no_value(str(error.args[0]), self.sources[name], *more) from None

    def plain(self, name: str, entry: Entry) -> Entry:
        """With every variable settled where no secret can stand."""
        settled: dict[str, Any] = {}
        for key in Entry.__struct_fields__:
            given = getattr(entry, key)
            if key in {"environment", "command", "entrypoint", "healthcheck", "ports"} or given is None:
                continue
            builtins = msgspec.to_builtins(given)
            settled[key] = each_text(builtins, lambda text, key=key: self.value(text, name, key))  # type: ignore[misc]
        rest = {"command": entry.command, "entrypoint": entry.entrypoint, "healthcheck": entry.healthcheck}
        try:
            return msgspec.convert({**settled, **{k: v for k, v in rest.items() if v is not None}}, Entry)
        except msgspec.ValidationError as error:
            raise self.sources[name].fault(problem=str(error)) from None

    def shown(self, entry: Entry) -> Entry:
        """As it is to be looked at, not written: with what its check says once the variables have their values."""
        check = self.marks.replace(entry.healthcheck, lambda variable: variable.value or "")
        return msgspec.structs.replace(entry, healthcheck=check)

    def ports(self, name: str) -> tuple[Port, ...]:
        found = []
        for at, given in enumerate(self.services[name].ports or ()):
            text = msgspec.to_builtins(given)
            # Where it is published is of no interest here, and may well be a variable without a value.
            plain = self.marks.replace(text, lambda variable: variable.value or "")
            port = port_of(msgspec.convert(plain, int | str | PortSpec))
            if port is None:
                each_text(text, lambda text, at=at: self.value(text, name, "ports", at))  # type: ignore[misc]
            if port is None or not 0 < port.target < 65536:
                raise self.sources[name].fault("ports", at, problem=f"{plain!r} is no port")
            found.append(port)
        return tuple(found)

    def settle(self, services: Mapping[str, Entry], environment: dict[str, dict[str, str | None]]) -> None:
        self.secrets.find(
            {
                name: Part(
                    environment[name],
                    tuple(_texts([entry.command, entry.entrypoint, entry.healthcheck])),
                    known(entry.image or "").part,
                )
                for name, entry in services.items()
            }
        )
        for values in environment.values():
            for key in values:
                values[key] = self.secrets.mark(key, values[key])
        self.declared = self.secrets.declare(self.prefix)
        for place, _ in self.secrets.left:
            self.say(
                "open",
                place.service,
                f"{place.key} stays as it is: the file does not show who else knows it; if the application can be told"
                " another one, make it a secret",
            )

    def become(self, variable: Variable) -> str:
        """What stands in the template for a variable."""
        declared = self.declared.get(variable.name)
        if declared is not None:
            self.used.add(variable.name)
            empty = " or ''" if declared.spec.optional else ""
            return self.spelling.expression(f"secret('{declared.name}'){empty}")
        if variable.value is not None:
            return variable.value
        name = (
            f"{self.prefix}_{variable.name}".lower()
            if not variable.name.upper().startswith(self.prefix)
            else variable.name.lower()
        )
        if name not in self.vars:
            about = (
                comment(self.marks.replace(variable.about, lambda inner: inner.name))
                or f"the Compose file's {variable.name}"
            )
            self.vars[name] = {"about": about, **({} if variable.about else {"default": ""})}
            need = "has to be set" if variable.about else "is empty where it is not set"
            self.say(
                "open", f"vars.{name}", f"{variable.name} has no value in the file; {need}: hosts.HOST.vars.{name}"
            )
        return self.spelling.expression(f"vars.{name}")

    def spelled(self, data: Any) -> Any:
        return self.marks.replace(data, self.become)

    def values(
        self,
        name: str,
        environments: Mapping[str, Mapping[str, str | None]],
        door: Door,
        ports: tuple[Port, ...],
        ground: Ground,
    ) -> dict[str, str]:
        """The container's environment as it stands in the template; `ports` are those that the door publishes."""
        environment, at_home = environments[name], environments[door.service]
        hosts = self.hosts(name, door, ground)
        out: dict[str, str] = {}
        for key, text in environment.items():
            if text is None:
                if key in self.marks.values:
                    out[key] = self.marks.values[key]
                else:
                    self.say("changed", ground.names[name], f"{key} comes from whoever starts Compose, and is left out")
                continue
            moved = hosts(key, text)
            if moved != text:
                self.say("changed", ground.names[name], f"{key} names a container by its name in the stack")
            url = self.self_address(key, moved, door, ports) if at_home.get(key) == text else None
            if url:
                self.say("changed", ground.names[name], f"{key} is the door's address, route.url")
                out[key] = url
                continue
            out[key] = self.spelled(moved)
        return out

    def hosts(self, name: str, door: Door, ground: Ground) -> Rehost:
        """The door alone is on the stack's network too, where its parts' names may be those of others."""
        doubtful = {old: new for old, new in ground.names.items() if old in self.taken and old != name}
        return rehost(doubtful if name == door.service and len(ground.names) > 1 else {})

    def self_address(self, key: str, text: str, door: Door, ports: tuple[Port, ...]) -> str | None:
        """The address at which the application believes to be reached, where the file says that of a try at home."""
        try:
            plain = self.marks.plain(text)
        except LookupError:
            return None
        found = re.fullmatch(r"https?://([\w.-]+)(?::(\d+))?(/?)", plain)
        if not (found and door.http and re.search(r"URL|URI|ORIGIN|DOMAIN|ADDRESS", key, re.IGNORECASE)):
            return None
        home = re.fullmatch(
            r"localhost|127\.0\.0\.1|0\.0\.0\.0|([\w-]+\.)*example\.(com|org|net)|your-?domain\.\w+", found[1]
        )
        own = {port.published for port in ports} | {str(door.port)}
        if home is None or (found[2] and found[2] not in own):
            return None
        return self.spelling.expression("route.url") + found[3]

    def commands(self, entry: Entry, hosts: Rehost) -> dict[str, Any]:
        given = {
            key: getattr(entry, key)
            for key in ("command", "entrypoint", "healthcheck")
            if getattr(entry, key) is not None
        }
        marked = each_text(given, self.secrets.mark_command)
        for key in ("command", "entrypoint"):
            if isinstance(line := marked.get(key), str) and OPEN in line:
                # As words: a value with a quote in it would break the line.
                marked[key] = self.words(line, key)
        out: dict[str, Any] = each_text(self.spelled(marked), lambda text: hosts("", text))
        return {key: tuple(value) if isinstance(value, list) else value for key, value in out.items()}

    def words(self, line: str, key: str) -> list[str]:
        try:
            return shlex.split(line)
        except ValueError as error:
            raise UsageError(f"{key}: {error}", hint="write it as a list of words") from None


def _texts(data: Any) -> list[str]:
    if isinstance(data, dict):
        return [text for value in data.values() for text in _texts(value)]
    if isinstance(data, list | tuple):
        return [text for value in data for text in _texts(value)]
    return [data] if isinstance(data, str) else []
