"""plan, deploy, setup, configure, render: prefixes of one pipeline."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctl.cli import options
from ctl.cli.terminal import err, out, print_json, stdin_is_terminal
from ctl.core.errors import CtlError, Interrupted, UsageError

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.inventory import Host
    from ctl.core.plan import Plan
    from ctl.core.ports import Transport

ALL = (1, 2, 3, 4)


def render(
    context: typer.Context,
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="An empty or new folder.")],
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier render left in the folder.")] = False,
) -> None:
    """The whole release of a host as files, without the network.

    Files stand under their paths on the host; steps under steps/; the run's manifest is release.json. Secrets are in
    them, as they will be on the host.
    """
    place = _workplace(context, stack, set_)
    release = place.aim(place.host(target)).release
    if out_dir.exists() and any(out_dir.iterdir()):
        if not force or not (out_dir / "release.json").is_file():
            raise UsageError(f"{out_dir} is not empty", hint="name a new folder; --force replaces an earlier render")
        shutil.rmtree(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in release.files:
        path = out_dir / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    for step in release.steps:
        path = out_dir / "steps" / f"{step.id}.sh"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text)
    (out_dir / "release.json").write_bytes(release.manifest())
    err.line(
        ("✓ ", "green"), f"release {release.id}: {len(release.files)} files, {len(release.steps)} steps in {out_dir}"
    )


def plan(
    context: typer.Context,
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    phase: options.Phases = None,
    only: options.Only = None,
    script: Annotated[bool, typer.Option("--script", help="The very script that deploy would run.")] = False,
    bare: Annotated[bool, typer.Option("--bare", help="As if the host were bare; nothing is connected to.")] = False,
    json: options.Json = False,
    detailed_exitcode: options.DetailedExitCode = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> int:
    """What a deploy would change on a host, with diffs. Changes nothing."""
    from ctl import run  # noqa: PLC0415
    from ctl.cli.show import plan_json, plan_lines  # noqa: PLC0415
    from ctl.core import script as scripts  # noqa: PLC0415

    place = _workplace(context, stack, set_, key, accept_new_host_key)
    host = place.host(target)
    aim = place.aim(host, phase or ALL, only or ())
    now: Mapping[str, bytes] = {}
    if bare:
        todo = run.propose_bare(aim)
    else:
        with place.transport(host) as transport:
            todo = run.propose(transport, aim)
            if not (script or json):
                now = run.contents(transport, todo.files)
    if script:
        out.console.file.write(scripts.script(todo, place.templates))
    elif json:
        print_json(plan_json(todo))
    else:
        for line in plan_lines(todo, now):
            out.console.print(line)
    return 3 if detailed_exitcode and todo else 0


def deploy(
    context: typer.Context,
    targets: options.Targets = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    phase: options.Phases = None,
    only: options.Only = None,
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> int:
    """Bring hosts to what the inventory says: plan, ask, apply, wait until healthy.

    A host that is in no inventory (user@host with --stack) is written into it.
    """
    place = _workplace(context, stack, set_, key, accept_new_host_key)
    return _bring(place, place.hosts(targets or []), phase or ALL, only or (), yes=yes, json=json)


def setup(
    context: typer.Context,
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> int:
    """Phase 1 alone: packages, Docker, network, firewall."""
    place = _workplace(context, stack, set_, key, accept_new_host_key)
    return _bring(place, [place.host(target)], (1,), (), yes=yes, json=json)


def configure(
    context: typer.Context,
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> int:
    """Phase 3 alone: units, proxy, tunnel."""
    place = _workplace(context, stack, set_, key, accept_new_host_key)
    return _bring(place, [place.host(target)], (3,), (), yes=yes, json=json)


def _workplace(
    context: typer.Context, stack: str, set_: list[str] | None, key: str = "", accept_new_host_key: bool = False
) -> Workplace:
    from ctl.cli.workplace import Wish, Workplace, parse_vars  # noqa: PLC0415  --help does not pay for it

    return Workplace(context.obj, Wish(stack, parse_vars(set_ or []), key, accept_new_host_key))


def _bring(
    place: Workplace, hosts: list[Host], phases: Collection[int], only: Collection[str], *, yes: bool, json: bool
) -> int:
    """Everything that can be refused is, for all hosts, before the first one is touched."""
    from ctl import run  # noqa: PLC0415
    from ctl.cli.show import plan_json, plan_lines  # noqa: PLC0415

    aims = [(host, place.aim(host, phases, only)) for host in hosts]
    results = []
    with ExitStack() as open_transports:
        todo: list[tuple[Host, Transport, Plan]] = []
        for host, aim in aims:
            transport = open_transports.enter_context(place.transport(host))
            found = run.propose(transport, aim)
            todo.append((host, transport, found))
            if not json and (found or len(hosts) == 1):
                for line in plan_lines(found, run.contents(transport, found.files)):
                    err.console.print(line)
        if any(found for _, _, found in todo):
            _confirm(yes, [host for host in hosts if place.is_new(host)], place)
        for host, transport, found in todo:
            results.append(plan_json(found) | _apply(place, host, transport, found, prefix=len(hosts) > 1))
    if json:
        print_json(results[0] if len(results) == 1 else results)
    return 0


def _confirm(yes: bool, new: list[Host], place: Workplace) -> None:
    if not yes:
        if not stdin_is_terminal():
            raise UsageError("nobody is here to confirm the plan", hint="--yes applies it without asking")
        err.line("")
        if not typer.confirm("Apply this?", default=False, err=True):
            raise Interrupted("not applied; nothing on the host has changed")
    for host in new:
        added = place.project.add_host(host.name, place.entry(host))
        err.line(("\ninventory.yaml now says:\n", "bold"), added)


def _apply(place: Workplace, host: Host, transport: Transport, todo: Plan, *, prefix: bool) -> dict[str, object]:
    from ctl import run  # noqa: PLC0415
    from ctl.cli.progress import Progress  # noqa: PLC0415

    if not todo:
        return {"result": "unchanged"}
    started = time.monotonic()
    run_id = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{os.urandom(2).hex()}"
    err.line("")
    try:
        with Progress(todo, prefix=f"{host.name}: " if prefix else "", moving=not prefix) as progress:
            run.apply(transport, todo, place.templates, run_id=run_id, holder=_holder(run_id), listen=progress.take)
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"stopped watching; the run {run_id} goes on on {host.name}", hint=f"ctl status {host.name} shows its state"
        ) from stop
    seconds = round(time.monotonic() - started)
    err.line(
        ("\n✓ ", "green"), (host.name, "bold"), f" runs {todo.release.stack}, release {todo.release.id} ({seconds} s)"
    )
    _tell_doors(todo, first=not todo.facts.current)
    return {"result": "changed", "run": run_id, "seconds": seconds}


def _tell_doors(todo: Plan, *, first: bool) -> None:
    for route in todo.release.routes:
        for url in route.urls:
            err.line("  ", (url, "bold cyan"), (f"  {route.name}", "dim"))
    if first:
        err.line("  the user and the password: ", (f"ctl secrets show {todo.release.host} --login", "bold"))


def _holder(run_id: str) -> str:
    """Who is at work, for whoever meets the lock."""
    try:
        who = f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError) as error:
        raise CtlError("this machine's user has no name", hint="set USER") from error
    return f"{who} since {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}, deploying (run {run_id})"
