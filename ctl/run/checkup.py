"""The order of work of a check-up: ask the host once, look names up from here, tell what would stop a deploy."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from ctl.core import doctor, probe, script, surroundings
from ctl.core.doctor import Check, Plans
from ctl.core.errors import CtlError
from ctl.core.image import Contexts
from ctl.core.inventory import Host
from ctl.core.ports import Transport
from ctl.core.release import Release
from ctl.core.render import render
from ctl.core.secret import Secret, settle
from ctl.core.selection import Selection
from ctl.core.template import Templates
from ctl.run.asking import ask, refused


def nothing(host: Host) -> Release:
    """What stands in for a release that cannot be rendered, so that the host can be asked all the same."""
    stack = host.stack or "ctl"
    root = host.root or f"/opt/{stack}"
    return Release(host.name, stack, root, "", (), (), (), (), (), memory=0, disk=0)


def rehearsed(
    selection: Selection,
    supplied: Mapping[str, str],
    kept: Mapping[str, str],
    templates: Templates,
    contexts: Contexts,
) -> Release:
    """The release as a deploy would render it; a secret that is not there yet, or cannot be used, has a stand-in."""
    values: dict[str, Secret] = {}
    for name, spec in selection.secrets.items():
        try:
            values |= settle({name: spec}, supplied, kept, os.urandom, selection.host.name)[0]
        except CtlError:
            values[name] = Secret(name, os.urandom(16).hex())
    return render(selection, values, templates, contexts)


def examine(
    transport: Transport, host: Host, release: Release, selection: Selection | None, templates: Templates
) -> list[Check]:
    """One round trip. Raises Unreachable's children, and HostUnfit where the host does not let us be root."""
    official = selection is not None and selection.vars.get("docker_source") == "official"
    text = surroundings.script(script.probe(release, templates), release, templates, official_docker=official)
    began = time.time()
    result = ask(transport, text)
    asked = (began, time.time())
    if result.code != 0 and b"ctl-probe\t1" not in result.stdout:
        raise refused(result, host.name)
    facts, around = probe.parse(result.stdout), surroundings.parse(result.stdout)
    names = _public_names(release, selection) if selection and selection.access.kind == "public" else ()
    address = next(iter(_resolve(host.address)), host.address)
    plans = Plans(
        access=selection.access.kind if selection else "",
        acme=selection is not None and selection.doors.plain,
        address=address,
        names={name: _resolve(name) for name in names},
        asked=asked,
    )
    login = Check("connection", "ok", f"{host.user}@{host.address} lets us in, and be root")
    return [login, *doctor.examine(release, facts, around, plans)]


def _public_names(release: Release, selection: Selection) -> Iterable[str]:
    found = {urlsplit(url).hostname or "" for route in release.routes for url in route.urls}
    if release.proxy == "nginx" and selection.doors.plain:
        found |= set(selection.doors.names)
    return sorted(name for name in found if name and not name.endswith("localhost"))


def _resolve(name: str) -> tuple[str, ...]:
    """The addresses that a name has from here; none where it has none."""
    try:
        return tuple(sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}))
    except (OSError, UnicodeError):
        return ()
