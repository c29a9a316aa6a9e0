"""doctor: everything that would stop a deploy, found before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ctl.cli import front, options
from ctl.cli.terminal import out, print_json

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.doctor import Check
    from ctl.core.inventory import Host

SIGNS = {"ok": ("✓", "green"), "note": ("·", "dim"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


def doctor(
    context: typer.Context,
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    gpu: options.Gpu = "",
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> int:
    """What would stop a deploy of a host, each with its remedy. Changes nothing; exits with 1 if there is a problem."""
    from ctl.cli.applying import workplace  # noqa: PLC0415

    place = workplace(context, stack, options.with_gpu(set_, gpu), key, accept_new_host_key)
    host = place.host(target)
    checks = _checks(place, host)
    sick = any(check.state == "problem" for check in checks)
    if json:
        rows = [{"name": c.name, "state": c.state, "text": c.text, "remedy": c.remedy or None} for c in checks]
        print_json({"host": host.name, "ready": not sick, "checks": rows})
        return 1 if sick else 0
    width = max(len(check.name) for check in checks)
    for check in checks:
        out.line("  ", SIGNS[check.state], (f" {check.name:<{width}}  ", "bold"), check.text)
        if check.remedy:
            out.line(" " * (width + 6), (check.remedy, "dim"))
    return 1 if sick else 0


def _checks(place: Workplace, host: Host) -> list[Check]:
    """First what is wrong here, then the host; with what cannot be rendered, as much as can be said."""
    from ctl.core.doctor import Check, failed, secrets  # noqa: PLC0415
    from ctl.core.errors import CtlError  # noqa: PLC0415
    from ctl.edge.site import contexts  # noqa: PLC0415
    from ctl.run import checkup  # noqa: PLC0415

    checks: list[Check] = []
    selection, release = None, checkup.nothing(host)
    kept: dict[str, str] = {}
    try:
        kept = place.vault.read(host.name)
    except CtlError as error:
        checks.append(failed("vault", error))
    try:
        selection, supplied = place.selection(host), place.supplied(host)
        release = checkup.rehearsed(selection, supplied, kept, place.templates, contexts(place.project))
        checks.append(Check("files", "ok", "inventory, stack and templates fit together"))
        checks += secrets(selection.secrets, supplied, kept, host.name)
    except CtlError as error:
        checks.append(failed("files", error))
    checks += front.checks(place, host) if selection else []
    try:
        with place.transport(host) as transport:
            checks += checkup.examine(transport, host, release, selection, place.templates)
    except CtlError as error:
        checks.append(failed("connection", error))
    return checks
