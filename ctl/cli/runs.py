"""history, rollback, attach: the runs and releases that a host keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctl.cli import options
from ctl.cli.applying import Manner, apply, confirm, new_watch, show_plan, tell_warnings, workplace
from ctl.cli.terminal import err, out, print_json, stdin_is_terminal
from ctl.core.errors import UsageError

if TYPE_CHECKING:
    from ctl.core.history import History, PastRun


def history(context: typer.Context, target: options.Target = None, json: options.Json = False) -> None:
    """Who changed what on a host, when, from where, and how it ended."""
    from ctl import run  # noqa: PLC0415

    place = workplace(context)
    host = place.host(target)
    link, aim = place.connected(host)
    with link:
        found = run.history(link, host.name, aim.release.root)
    if json:
        print_json({"host": host.name, "current": found.current, "runs": [_json(past, found) for past in found.runs]})
        return
    if not found.runs:
        err.line(f"nothing has run on {host.name} yet")
    for past in reversed(found.runs):
        _print(past, found)


def rollback(
    context: typer.Context,
    target: options.Target = None,
    release: Annotated[
        str, typer.Argument(metavar="[RELEASE]", help="As in ctl history; else the last good one.")
    ] = "",
    pick: Annotated[bool, typer.Option("--pick", help="Choose from the releases that are kept.")] = False,
    yes: options.Yes = False,
    json: options.Json = False,
    wait: options.Wait = 0,
) -> int:
    """Bring back a release that the host has kept, whole: files, configuration and images."""
    from dataclasses import replace  # noqa: PLC0415

    from ctl import run  # noqa: PLC0415
    from ctl.cli.show import plan_json  # noqa: PLC0415

    place = workplace(context)
    host = place.host(target)
    link, aim = place.connected(host)
    with link:
        found = run.history(link, host.name, aim.release.root)
        wanted = found.find(release) if release else _pick(found) if pick else found.way_back()
        back = replace(aim, release=run.kept_release(link, host.name, aim.release.root, wanted), carded=None)
        todo = run.propose(link, back, wait=wait)
        if not json:
            show_plan(link, todo)
        if todo:
            confirm(yes, f"Go back to release {wanted}?")
        result = apply(link, todo, back, Manner(rollback=False), f"rollback {host.name} {wanted}")
    if json:
        print_json(plan_json(todo) | result)
    return 0


def attach(
    context: typer.Context,
    target: options.Target = None,
    run_id: Annotated[str, typer.Argument(metavar="[RUN]", help="As in ctl history; else the newest.")] = "",
) -> None:
    """Follow a run on a host to its end; of one that has ended, show the log."""
    from ctl import run  # noqa: PLC0415
    from ctl.cli.progress import Progress  # noqa: PLC0415

    place = workplace(context)
    host = place.host(target)
    link, aim = place.connected(host)
    with link:
        found = run.history(link, host.name, aim.release.root)
        ids = [past.id for past in found.runs]
        if not ids or (run_id and run_id not in ids):
            raise UsageError(f"there is no such run on {host.name}", hint=f"ctl history {host.name}")
        run_id = run_id or ids[-1]
        with Progress(aim.release) as progress:
            watch = new_watch("attach", progress.take, run_id=run_id)
            outcome = run.attach(link, host.name, aim.release.root, watch)
    err.line(("✓ ", "green"), f"the run {run_id} went through")
    tell_warnings(outcome.warnings)


def _pick(found: History) -> str:
    if not stdin_is_terminal():
        raise UsageError("--pick needs a terminal", hint="name the release: ctl rollback TARGET RELEASE")
    choices: dict[str, PastRun] = {}
    for past in reversed(found.runs):
        if past.about.release in found.kept and past.about.release != found.current:
            choices.setdefault(past.about.release, past)
    if not choices:
        raise UsageError("there is no earlier release to go back to")
    for number, past in enumerate(choices.values(), 1):
        err.line((f"{number:>3} ", "bold"), end="")
        _print(past, found)
    answer: int = typer.prompt("Which one", type=int, err=True)
    if not 1 <= answer <= len(choices):
        raise UsageError(f"{answer} is none of them")
    return list(choices)[answer - 1]


def _print(past: PastRun, found: History) -> None:
    from ctl.core.history import moment  # noqa: PLC0415

    about = past.about
    mark = ("✓", "green") if past.code == 0 else ("…", "yellow") if past.code is None else ("✗", "red")
    here = (" ← current", "green") if about.release == found.current and past.code == 0 else ""
    out.line(mark, f" {moment(about.started)}  ", (about.release, "bold"), here, f"  {about.who}  {about.command}")
    out.line((f"    run {past.id}  {', '.join(about.changes)}", "dim"))


def _json(past: PastRun, found: History) -> dict[str, Any]:
    about = past.about
    return {
        "run": past.id,
        "release": about.release,
        "exit_code": past.code,
        "kept": about.release in found.kept,
        "started": about.started,
        "who": about.who,
        "command": about.command,
        "changes": list(about.changes),
    }
