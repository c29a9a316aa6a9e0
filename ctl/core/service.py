"""A template folder: its metadata (`x-ctl`), and the catalogue of all of them.

A folder under `services/`, `proxy/` or `tunnel/` may hold a Compose file (`compose.yaml.j2`) with an `x-ctl` block, or,
where there is no container, the block's content alone in `x-ctl.yaml`. The block is plain YAML without Jinja: the
catalogue is read without rendering anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from ctl.core.document import decode
from ctl.core.errors import InvalidFile, UnknownName
from ctl.core.secret import SecretSpec

KINDS = ("services", "proxy", "tunnel", "tls", "dns", "backup", "disk", "phases")

Owner = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
Mode = Annotated[str, msgspec.Meta(pattern=r"^(0?[0-7]{3})?$")]
UrlPath = Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._-]+)+/?$")]
Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]


class Var(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A setting that the inventory may give. Without a default it is required, unless it is optional (then None)."""

    about: str
    default: Any = msgspec.UNSET
    optional: bool = False
    choices: tuple[str, ...] = ()
    pattern: str = ""
    site: bool = False
    """Whether it is a static site of this machine: `{directory: FOLDER, build: COMMAND, in: FOLDER}`."""
    without: str = ""
    """The service without which it is required, although it is optional."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"the pattern {self.pattern!r} is no regular expression: {error}") from error


class WildcardSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The names below a service's own: NAME.`its own` leads to the container STACK-`label`-NAME.

    Containers come and go without a change at the proxy. Where none answers, the service shows its page `missing`.
    """

    label: Word
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    missing: UrlPath
    inside: tuple[UrlPath, ...] = ()
    """Paths of the containers that the stack's own services may ask for, at http://PROXY:8081/NAME/…."""


class RouteSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The port at which people or programs reach a service through the proxy."""

    port: int
    service: str = ""
    under: str | tuple[str, ...] = ()
    """The service whose door it shares, the first of several that the host has: there it answers at `paths`."""
    paths: tuple[Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._-]+)+(/\*)?$")], ...] = ()
    closed: tuple[Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._-]+)+(/\*)?$")], ...] = ()
    """Paths that are for the stack's own containers: the door does not lead there."""
    websocket: bool = False
    stream: bool = False
    path: Literal["", "keep", "strip"] = ""
    """Whether it can live under a path: as one that it knows of (keep), as one that the proxy takes away, or not."""
    logins: tuple[UrlPath, ...] = ()
    """Paths at which passwords are tried, where the proxy is strict about how often."""
    bearer: bool = False
    """Whether its clients send an Authorization header of their own, beside which no password of the proxy's fits."""
    body: Annotated[str, msgspec.Meta(pattern=r"^([0-9]+[MG])?$")] = ""
    """The largest request that it takes, where that is more than the proxy's 100M."""
    wildcard: WildcardSpec | None = None

    def shared_with(self, names: Collection[str]) -> str:
        """Whose door it shares on a host with these services; nobody's where that is empty."""
        wanted = (self.under,) if isinstance(self.under, str) else self.under
        return next((name for name in wanted if name in names), "")


class Requires(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the host has to have free for this service: sizes such as `512M` or `2G`."""

    memory: str = "0"
    disk: str = "0"


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request that tells from outside that a service answers."""

    path: str = "/"
    status: int = 200


class Database(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Postgres database in a container of the stack, left out where that is not there; without a name the server."""

    container: Word
    name: Word | None = None
    user: Word = "postgres"


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the data is. While `volumes` are read, the containers that use them are held: stopped, or paused.

    A volume of a server whose databases are dumped is copied before an upgrade, not in a backup.
    """

    volumes: tuple[Word, ...] = ()
    databases: tuple[Database, ...] = ()
    hold: Literal["stop", "pause"] = "stop"
    left_out: str = ""
    """What of the data is not taken, and why not."""


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Prometheus finds figures of a service, each of its containers asked by itself."""

    port: int
    path: UrlPath = "/metrics"
    secret: Word | None = None
    """The secret of the service's that is shown as a bearer token."""


class Spawns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Containers that a service starts itself, all with one `label`: they are left to it.

    Those that are called STACK-`label`-… are counted.
    """

    title: str
    label: Word
    """Behind the stack's name and a dot."""
    image: str = ""
    """STACK/IMAGE, built on the host like an image of the service's own."""
    env: Word | None = None
    """The variable that tells the service the name of that image."""
    subnet: Word | None = None
    """The variable that says where their networks have their addresses: from there nobody else is reached."""


class FileSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Owner and permission bits of a file that needs other than 0644, 0755 for scripts, 0600 with secrets."""

    owner: Owner = "root:root"
    mode: Mode = ""
    phase: Annotated[int, msgspec.Meta(ge=1, le=4)] | None = None
    """Where a step of an earlier phase than usual reads it."""


class Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `x-ctl` block."""

    summary: str = ""
    also: tuple[Word, ...] = ()
    """Further names under which it is known."""
    category: str = ""
    route: RouteSpec | None = None
    auth: Literal["builtin", "proxy", "none"] = "proxy"
    exposure: Literal["public", "tailnet", "internal"] = "internal"
    secrets: dict[str, SecretSpec] = {}
    vars: dict[str, Var] = {}
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    """Services that it makes use of where the host has them; they are brought up before it."""
    requires: Requires = Requires()
    backup: Backup = Backup()
    verify: tuple[Probe, ...] = ()
    files: dict[str, FileSpec] = {}
    """By the name of the rendered file inside the folder, such as `conf/app.ini` or `files/etc/app.ini`."""
    gpu: bool = False
    """Whether it makes use of the host's graphics card, where there is one."""
    scales: bool = False
    """Whether it holds no state of its own: it may have replicas, and is replaced one by one without a gap."""
    metrics: Metrics | None = None
    scrapes: bool = False
    """Whether it asks all that have figures, and is on their networks for that."""
    spawns: Spawns | None = None
    reloaded: tuple[str, ...] = ()
    """Mounted paths that the container takes up by a reload, so that a change in them does not recreate it."""


@dataclass(frozen=True, slots=True)
class Service:
    """One template folder. `templates` maps names inside the folder to their text."""

    kind: str
    name: str
    meta: Meta
    templates: Mapping[str, str]

    @property
    def folder(self) -> str:
        return "phases" if self.kind == "phases" else f"{self.kind}/{self.name}"


class Catalogue:
    """All template folders, by kind and name."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        self.templates = templates
        folders: dict[tuple[str, str], dict[str, str]] = {}
        for path, text in templates.items():
            kind, _, rest = path.partition("/")
            if kind not in KINDS or (kind != "phases" and "/" not in rest):
                continue
            name, inside = ("phases", rest) if kind == "phases" else rest.split("/", 1)
            folders.setdefault((kind, name), {})[inside] = text
        self._folders = folders

    def names(self, kind: str = "services") -> tuple[str, ...]:
        return tuple(sorted(name for k, name in self._folders if k == kind))

    def get(self, kind: str, name: str) -> Service:
        """By its name or another that it is known by. Raises UnknownName, or InvalidFile for a faulty x-ctl block."""
        name = self.proper(kind, name)
        templates = self._folders.get((kind, name))
        if templates is None:
            word = {"services": "service", "proxy": "proxy", "tunnel": "tunnel"}.get(kind, kind)
            raise UnknownName(
                word, name, self.names(kind), hint="ctl services lists them" if kind == "services" else ""
            )
        return Service(kind, name, _meta(kind, name, templates), templates)

    def proper(self, kind: str, name: str) -> str:
        """The folder's own name, where this is another name for it."""
        if (kind, name) in self._folders:
            return name
        known = (other for other in self.names(kind) if name in _meta(kind, other, self._folders[kind, other]).also)
        return next(known, name)


_BLOCK = re.compile(r"^x-ctl:[ \t]*\n((?:[ \t]+.*\n|[ \t]*\n|#.*\n)*)", re.MULTILINE)


def _meta(kind: str, name: str, templates: Mapping[str, str]) -> Meta:
    folder = "templates/phases" if kind == "phases" else f"templates/{kind}/{name}"
    if "x-ctl.yaml" in templates:
        return decode(templates["x-ctl.yaml"], Meta, file=f"{folder}/x-ctl.yaml")
    file = f"{folder}/compose.yaml.j2"
    text = templates.get("compose.yaml.j2", "")
    block = _BLOCK.search(text if text.endswith("\n") else text + "\n")
    if block is None:
        raise InvalidFile(file, "has no x-ctl block", hint="ctl services show n8n shows one")
    if "{{" in block[1] or "{%" in block[1]:
        raise InvalidFile(file, "the x-ctl block is read before rendering and holds no Jinja", path="x-ctl")
    # Blank lines keep the line numbers of the file in messages about the block.
    above = "\n" * text[: block.start()].count("\n")
    return decode(f"{above}x-ctl:\n{block[1]}", _Block, file=file).meta


class _Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    meta: Meta = msgspec.field(name="x-ctl")


_SIZE = re.compile(r"(\d+)([KMGT]?)")


def megabytes(size: str, *, file: str, path: str) -> int:
    """`512M` → 512, `2G` → 2048. Raises InvalidFile."""
    match = _SIZE.fullmatch(size)
    if not match:
        raise InvalidFile(file, f"expected a size such as 512M or 2G, got {size!r}", path=path)
    factor = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}[match[2]]
    return round(int(match[1]) * factor)
