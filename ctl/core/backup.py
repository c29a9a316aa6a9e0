"""What is taken into a backup, and the sh texts that take it, list it and put it back.

The work itself is in `templates/host/data.sh`, `backup.sh` and `restore.sh`; here it gets its settings.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ctl.core import quoting
from ctl.core.errors import InvalidFile, RunFailed
from ctl.core.probe import clean
from ctl.core.release import Container, File
from ctl.core.selection import Selection
from ctl.core.service import Service
from ctl.core.template import Templates

TABLE = ".ctl/data"
PROGRAM = "backups/backup"
SETTINGS = "backups/repository.env"

_HEAD = """#!/bin/sh
set -u
umask 077
export LC_ALL=C.UTF-8 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"""


def check(service: Service, data: Mapping[str, Any]) -> None:
    """Raises InvalidFile for a volume to back up that the service's Compose file does not have."""
    for name in service.meta.backup.volumes:
        if name not in (data.get("volumes") or {}):
            raise InvalidFile(
                f"templates/{service.folder}/compose.yaml.j2",
                f"there is no volume {name!r}",
                path="x-ctl.backup.volumes",
            )


def table(selection: Selection, containers: Collection[Container]) -> File:
    """The file that tells the host where the services' data is; its lines are explained in `host/data.sh`."""
    stack = selection.stack.name
    here = {container.name for container in containers}
    lines: list[tuple[str, ...]] = [("stack", stack)]
    for service in (*selection.services, selection.proxy):
        kept = service.meta.backup
        lines += [("volume", service.name, f"{stack}_{name}", kept.hold) for name in kept.volumes]
        for database in kept.databases:
            if database.container in here:
                lines.append(("database", service.name, database.container, database.user, database.name or "-"))
            elif database.container not in service.meta.uses:
                raise InvalidFile(
                    f"templates/{service.folder}/compose.yaml.j2",
                    f"there is no container {database.container!r}",
                    path="x-ctl.backup.databases",
                )
    text = "".join("\t".join(line) + "\n" for line in lines)
    return File(f"{selection.root}/{TABLE}", text.encode(), 2)


def program(selection: Selection, templates: Templates, *, source: str) -> File:
    """The script that the host's timer and `ctl backup` start. `source` is the inventory's name for messages."""
    lines = [
        _HEAD,
        "# Written by ctl. One backup of the stack; --let-go starts again what a killed one had stopped or paused.",
        *_place(selection.root),
        f"host={quoting.sh(selection.host.name)}",
        f"retention={quoting.sh(retention(selection.vars['backup_keep'], source=source))}",
        f"read_back={quoting.sh(selection.vars['backup_read_back'])}",
        f'. "$root/{SETTINGS}"',
        "",
        templates.source("host/data.sh"),
        templates.source("host/backup.sh"),
        "case ${1:-} in",
        '    --let-go) exec 9>"$ctl/lock" && flock -n 9 && let_go ;;',
        '    *) begin_backup "${1:-3600}" && backup ;;',
        "esac",
        "",
    ]
    return File(f"{selection.root}/{PROGRAM}", "\n".join(lines).encode(), 3, mode=0o700)


def retention(keep: Mapping[str, Any], *, source: str) -> str:
    """`{daily: 7, weekly: 4}` → the flags of `restic forget`. Raises InvalidFile."""
    for unit, count in keep.items():
        if unit not in {"last", "hourly", "daily", "weekly", "monthly", "yearly"}:
            raise InvalidFile(source, f"snapshots are not kept by {unit!r}", path="backup_keep")
        if type(count) is not int or count < 1:
            raise InvalidFile(source, f"expected how many to keep, got {count!r}", path=f"backup_keep.{unit}")
    if not keep:
        raise InvalidFile(source, "without a number to keep every snapshot would be forgotten", path="backup_keep")
    return " ".join(f"--keep-{unit} {count}" for unit, count in keep.items())


def start(root: str, templates: Templates) -> str:
    """The script of a run that makes one backup now."""
    return _run(root, templates, [f'backup_now "$root/{PROGRAM}"'])


def restore(root: str, templates: Templates, snapshot: str) -> str:
    """The script of a run that puts a snapshot's data back; `repository.env` beside it says where that is."""
    return _run(root, templates, [f"restore {quoting.sh(snapshot)}"])


def _run(root: str, templates: Templates, main: Iterable[str]) -> str:
    texts = [templates.source(f"host/{name}.sh") for name in ("steps", "run", "data", "restore")]
    return "\n".join([_HEAD, *_place(root), "run=${0%/*}", "", *texts, *main, ""])


def _place(root: str) -> tuple[str, str]:
    return f"root={quoting.sh(root)}", "ctl=$root/.ctl"


def settings(values: Mapping[str, str]) -> bytes:
    """What restic needs to know, as sh: sent on stdin or in a run's archive, for it holds secrets."""
    return "".join(f"export {name}={quoting.sh(value)}\n" for name, value in values.items()).encode()


def snapshots(root: str, templates: Templates, *, host: str, stack: str) -> str:
    """The sh text that lists the snapshots as JSON. Settings come on stdin; without any the host's own hold."""
    return "\n".join(
        [
            _HEAD,
            *_place(root),
            templates.source("host/steps.sh"),
            f'settings=$(cat) && eval "${{settings:-$(cat "$root/{SETTINGS}")}}" || exit 1',
            "command -v restic >/dev/null || { apt_lists && apt install restic openssh-client; } >&2 || exit 1",
            f"restic snapshots --no-lock --json --host {quoting.sh(host)} --tag {quoting.sh(stack)}",
        ]
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`time` is as restic writes it: ISO 8601, with the host's offset."""

    id: str
    time: str
    host: str


class _Wire(msgspec.Struct, frozen=True):
    short_id: str
    time: str
    hostname: str


def parse_snapshots(output: bytes) -> tuple[Snapshot, ...]:
    """Oldest first. Raises RunFailed for what is no list of restic's."""
    try:
        found = msgspec.json.decode(output or b"[]", type=tuple[_Wire, ...] | None) or ()
    except msgspec.MsgspecError as error:
        raise RunFailed(f"restic's list of snapshots cannot be read: {error}") from error
    rows = [Snapshot(clean(row.short_id, 64), clean(row.time, 64), clean(row.hostname, 64)) for row in found]
    return tuple(sorted(rows, key=lambda row: row.time))


def choose(found: Collection[Snapshot], wanted: str) -> Snapshot | None:
    """The newest one, or the one whose id begins like that."""
    if wanted == "latest":
        return max(found, key=lambda snapshot: snapshot.time, default=None)
    fitting = [s for s in found if re.fullmatch("[0-9a-f]{4,64}", wanted) and wanted[:8] == s.id[: len(wanted)]]
    return fitting[0] if len(fitting) == 1 else None
