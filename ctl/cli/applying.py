"""From hosts and a release to runs on them: what deploy, rollback and their like share."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from ctl.cli import front
from ctl.cli.terminal import err, print_json, stdin_is_terminal, tell
from ctl.core.errors import CtlError, Interrupted, UsageError

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.inventory import Host
    from ctl.core.plan import Plan
    from ctl.core.ports import Transport
    from ctl.core.report import Event
    from ctl.run import Aim
    from ctl.run.cloud import Front
    from ctl.run.following import Watch


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command is to go about it. `wait` is in seconds."""

    yes: bool = False
    json: bool = False
    wait: int = 0
    detach: bool = False
    rollback: bool = True
    attended: bool = False
    """Somebody is there for the interactive steps."""


def workplace(
    context: typer.Context,
    stack: str = "",
    set_: list[str] | None = None,
    key: str = "",
    accept_new_host_key: bool = False,
) -> Workplace:
    from ctl.cli.workplace import Wish, Workplace, parse_vars  # noqa: PLC0415  --help does not pay for it

    return Workplace(context.obj, Wish(stack, parse_vars(set_ or []), key, accept_new_host_key))


def bring(
    place: Workplace, hosts: list[Host], phases: Collection[int], only: Collection[str], manner: Manner, command: str
) -> int:
    """Hosts to what the inventory says. What can be refused is, for all of them, before the first one is touched."""
    with ExitStack() as closing:
        links, aims = [], []
        for host in hosts:
            link, aim = place.connected(host, phases, only)
            links.append(closing.enter_context(link))
            aims.append(replace(aim, attended=manner.attended))
        from ctl import run  # noqa: PLC0415  beside the first connection, which is being made

        fronts = _all_or_none(run.each([partial(front.look, place, host, phases, only) for host in hosts]), hosts)
        plans = propose_all(links, aims, hosts, manner, fronts)
        if not (manner.json and manner.yes):
            for link, todo, before in zip(links, plans, fronts, strict=True):
                front.show(before)
                show_plan(link, todo)
        if any(plans) or any(before and before.todo for before in fronts):
            confirm(manner.yes)
        _write_new_hosts(place, hosts)
        # What `--json` tells was to be done, not what is left of it afterwards.
        reports = [front.plan_json(todo, before) for todo, before in zip(plans, fronts, strict=True)]
        outcomes = apply_all(links, plans, aims, manner, command, fronts)
    conclude(reports, outcomes, manner)
    return 0


def propose_all(
    links: list[Transport], aims: list[Aim], hosts: list[Host], manner: Manner, fronts: list[Front | None]
) -> list[Plan]:
    """The plans of all hosts, or the first error: nothing has been touched yet."""
    return _all_or_none(_proposals(links, aims, fronts, manner), hosts)


def apply_all(
    links: list[Transport],
    plans: list[Plan],
    aims: list[Aim],
    manner: Manner,
    command: str,
    fronts: list[Front | None],
) -> list[dict[str, Any] | CtlError]:
    """All plans side by side; what each came to, or its error, which stops no other."""
    from ctl import run  # noqa: PLC0415

    works = zip(links, plans, aims, fronts, strict=True)
    return run.each([_application(*work, manner, command, many=len(plans) > 1) for work in works])


def conclude(reports: list[dict[str, Any]], outcomes: list[dict[str, Any] | CtlError], manner: Manner) -> None:
    """What `--json` tells. Raises the worst error, when all are told."""
    if manner.json:
        told = [report | _json(outcome) for report, outcome in zip(reports, outcomes, strict=True)]
        print_json(told if len(told) > 1 else told[0])
    _raise_worst(outcomes)


def _proposals(
    links: list[Transport], aims: list[Aim], fronts: list[Front | None], manner: Manner
) -> list[Plan | CtlError]:
    """The hosts' plans. One that is out of reach since its security group lets no SSH in gets that opened first."""
    from ctl import run  # noqa: PLC0415

    works = [partial(run.propose, link, aim, wait=manner.wait) for link, aim in zip(links, aims, strict=True)]
    found = run.each(works)
    shut = {at: before for at, before in enumerate(fronts) if before and front.keeps_out(before, found[at])}
    for before in shut.values():
        front.show(before)
    if shut:
        confirm(manner.yes, "Let SSH in, so that the host can be looked at?")
        again = run.each([partial(front.let_in, before, works[at]) for at, before in shut.items()])
        for at, plan in zip(shut, again, strict=True):
            found[at] = plan
    return found


def _application(
    link: Transport,
    todo: Plan,
    aim: Aim,
    before: Front | None,
    manner: Manner,
    command: str,
    *,
    many: bool,
) -> Callable[[], dict[str, Any]]:
    work = partial(apply, link, todo, aim, manner, f"{command} {todo.release.host}", many=many)
    return partial(front.around, before, work, manner) if before else work


def apply(link: Transport, todo: Plan, aim: Aim, manner: Manner, command: str, *, many: bool = False) -> dict[str, Any]:
    """One plan on one host, with its progress on stderr. Returns the result for `--json`."""
    from ctl import run  # noqa: PLC0415
    from ctl.cli.progress import Progress  # noqa: PLC0415

    host = todo.release.host
    if not todo:
        return {"result": "unchanged"}
    if not many:
        err.line("")
    with Progress(todo.release, prefix=f"{host}: " if many else "", moving=not many) as progress:
        watch = new_watch(command, progress.take, detach=manner.detach)
        try:
            # A new plan would have to be confirmed; whoever said --yes has confirmed it.
            wait = manner.wait if manner.yes else 0
            outcome = run.bring(link, todo, aim, watch, rollback=manner.rollback, wait=wait)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                f"stopped watching; the run {watch.run_id} goes on on {host}", hint=f"ctl attach {host} follows it"
            ) from stop
    seconds = int(time.time()) - watch.started
    if manner.detach:
        err.line(("✓ ", "green"), f"the run {watch.run_id} is at work on {host}; ctl attach {host} follows it")
        return {"result": "started", "run": watch.run_id}
    err.line(("\n✓ ", "green"), (host, "bold"), f" runs {todo.release.stack}, release {todo.release.id} ({seconds} s)")
    if not many:
        _tell_doors(todo, first=not todo.facts.current)
    tell_warnings(outcome.warnings)
    return {"result": "changed", "run": outcome.run, "seconds": seconds, "warnings": outcome.warnings}


def tell_warnings(warnings: list[str]) -> None:
    """What failed and could, in the words of the steps."""
    for warning in warnings:
        err.line(("! ", "yellow"), "\n  ".join(warning.splitlines()))


def show_plan(link: Transport, todo: Plan) -> None:
    """The plan with its diffs, on stderr: it is not the data that was asked for."""
    from ctl import run  # noqa: PLC0415
    from ctl.cli.show import plan_lines  # noqa: PLC0415

    for line in plan_lines(todo, run.contents(link, todo.files)):
        err.console.print(line)


def confirm(yes: bool, question: str = "Apply this?") -> None:
    """Raises UsageError where nobody can answer, Interrupted for a no."""
    if yes:
        return
    if not stdin_is_terminal():
        raise UsageError("nobody is here to confirm this", hint="--yes goes ahead without asking")
    err.line("\n", question, " [y/N]: ", end="")
    try:
        answer = input()  # not typer.confirm, which leaves a blank on stdout
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise Interrupted("not confirmed; nothing on the host has changed")


def new_watch(command: str, listen: Callable[[Event], None], *, detach: bool = False, run_id: str = "") -> Watch:
    """A run's name, sortable by time, and who starts it."""
    from ctl.run.following import Watch  # noqa: PLC0415

    try:
        who = f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError) as error:
        raise CtlError("this machine's user has no name", hint="set USER") from error
    run_id = run_id or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{os.urandom(2).hex()}"
    return Watch(run_id, f"ctl {command}", who, int(time.time()), listen, detach)


def _write_new_hosts(place: Workplace, hosts: list[Host]) -> None:
    for host in hosts:
        if place.is_new(host):
            err.line(("\ninventory.yaml now says:\n", "bold"), place.project.add_host(host.name, place.entry(host)))


def _all_or_none(found: list[T | CtlError], hosts: list[Host]) -> list[T]:
    """What was found for every host, or the first error: nothing has been touched yet."""
    good: list[T] = []
    for one, host in zip(found, hosts, strict=True):
        if isinstance(one, CtlError):
            if len(hosts) > 1:
                err.line((host.name, "bold"), ":")
            raise one
        good.append(one)
    return good


def _raise_worst(outcomes: list[dict[str, Any] | CtlError]) -> None:
    """Tell every host's error; the last one goes on to be the command's own."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, CtlError)]
    for error in errors[:-1]:
        tell(error)
    if errors:
        raise errors[-1]


def _json(outcome: dict[str, Any] | CtlError) -> dict[str, Any]:
    if isinstance(outcome, CtlError):
        return {"result": "failed", "error": outcome.message, "exit_code": outcome.exit_code}
    return outcome


def _tell_doors(todo: Plan, *, first: bool) -> None:
    for route in todo.release.routes:
        for url in route.urls:
            err.line("  ", (url, "bold cyan"), (f"  {route.name}", "dim"))
    if first:
        err.line("  the user and the password: ", (f"ctl secrets show {todo.release.host} --login", "bold"))
