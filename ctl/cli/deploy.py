"""plan, deploy, setup, configure, render: prefixes of one pipeline."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctl.cli import front, options, sites
from ctl.cli.applying import Manner, bring, workplace
from ctl.cli.terminal import err, out, print_json, stdin_is_terminal
from ctl.core.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from ctl.core.release import Release

ALL = (1, 2, 3, 4)


def render(
    context: typer.Context,
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="An empty or new folder.")],
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    gpu: options.Gpu = "",
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier render left in the folder.")] = False,
) -> None:
    """The whole release of a host as files, without the network.

    Files stand under their paths on the host; steps under steps/; the run's manifest is release.json. Secrets are in
    them, as they will be on the host.
    """
    place = workplace(context, stack, options.with_gpu(set_, gpu))
    release = place.aim(place.host(target)).release
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"{out_dir} is not a folder", hint="name a new folder")
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
    _tell_undecided(release)


def _tell_undecided(release: Release) -> None:
    if release.gpu == "auto":
        err.line(("· ", "dim"), "as for a host without a graphics card; --gpu nvidia shows it for one with")


def plan(
    context: typer.Context,
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    gpu: options.Gpu = "",
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
    from ctl.cli.show import plan_lines  # noqa: PLC0415
    from ctl.core import script as scripts  # noqa: PLC0415

    place = workplace(context, stack, options.with_gpu(set_, gpu), key, accept_new_host_key)
    host = place.host(target)
    sites.announce(place, [host], phase or ALL, only or ())
    now: Mapping[str, bytes] = {}
    before = None
    if bare:
        todo = run.propose_bare(place.aim(host, phase or ALL, only or ()))
        _tell_undecided(todo.release)
    else:
        link, aim = place.connected(host, phase or ALL, only or ())
        with link:
            before = front.look(place, host, phase or ALL, only or ())
            try:
                todo = run.propose(link, aim)
            except Unreachable as error:
                raise front.explained(before, error) from error
            if not (script or json):
                now = run.contents(link, todo.files)
    if script:
        out.console.file.write(scripts.script(todo, place.templates))
    elif json:
        print_json(front.plan_json(todo, before))
    else:
        for line in (*(front.plan_lines(before.todo) if before else ()), *plan_lines(todo, now)):
            out.console.print(line)
    return 3 if detailed_exitcode and (todo or (before and before.todo)) else 0


def deploy(
    context: typer.Context,
    targets: options.Targets = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    gpu: options.Gpu = "",
    phase: options.Phases = None,
    only: options.Only = None,
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
    wait: options.Wait = 0,
    detach: Annotated[bool, typer.Option("--detach", help="Start the run and leave; ctl attach follows it.")] = False,
    no_rollback: Annotated[bool, typer.Option("--no-rollback", help="Leave what did not become healthy.")] = False,
) -> int:
    """Bring hosts to what the inventory says: plan, ask, apply, wait until healthy.

    A host that is in no inventory (user@host with --stack) is written into it.
    """
    place = workplace(context, stack, options.with_gpu(set_, gpu), key, accept_new_host_key)
    hosts = place.hosts(targets or [])
    sites.build(place, hosts, phase or ALL, only or ())
    manner = Manner(yes=yes, json=json, wait=wait, detach=detach, rollback=not no_rollback)
    return bring(place, hosts, phase or ALL, only or (), manner, "deploy")


def setup(
    context: typer.Context,
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    gpu: options.Gpu = "",
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> int:
    """Phase 1 alone: packages, Docker, network, firewall."""
    place = workplace(context, stack, options.with_gpu(set_, gpu), key, accept_new_host_key)
    return bring(place, [place.host(target)], (1,), (), Manner(yes=yes, json=json), "setup")


def configure(
    context: typer.Context,
    target: options.Target = None,
    stack: options.StackName = "",
    set_: options.Set = None,
    gpu: options.Gpu = "",
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> int:
    """Phase 3 alone: units, proxy, tunnel; at a terminal also what needs a person, such as linking a phone."""
    place = workplace(context, stack, options.with_gpu(set_, gpu), key, accept_new_host_key)
    manner = Manner(yes=yes, json=json, attended=stdin_is_terminal() and not json)
    return bring(place, [place.host(target)], (3,), (), manner, "configure")
