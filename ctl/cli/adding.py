"""add-service and remove-service: what the inventory says of a host, and what of that is on it, change together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctl.cli import options
from ctl.cli.applying import Manner, apply_all, conclude, confirm, propose_all, show_plan, workplace
from ctl.cli.questions import answered
from ctl.cli.terminal import enumerated, err
from ctl.core.errors import CtlError, Interrupted, Unreachable, UsageError

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.addition import Amendment
    from ctl.core.inventory import Host
    from ctl.run.cloud import Front

Target = Annotated[str | None, typer.Argument(metavar="[TARGET]", help="A host or a group of inventory.yaml.")]
SetVar = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A variable of the service, kept in the inventory."),
]


def add_service(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="As in ctl services; without it a list to pick from.")
    ] = "",
    target: Target = None,
    set_: SetVar = None,
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
    wait: options.Wait = 0,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="A Compose file, which becomes NAME of the project's own."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="WHAT", help="With --from: what would be refused as dangerous."),
    ] = None,
    pin: Annotated[
        list[str] | None, typer.Option("--pin", metavar="IMAGE=VERSION", help="With --from: the version of an image.")
    ] = None,
) -> int:
    """Add a service of the catalogue to a host: write it into inventory.yaml, and deploy it alone.

    Asks for what the template declares and nobody has given: variables, and secrets that have to be supplied.

    The other services stay as they are, and the proxy takes up the new door without dropping a connection.

    If the service does not become healthy, the host and the inventory are put back.

    TARGET may be a group: then every host of it gets the service, or none is touched.
    """
    from ctl.core import addition  # noqa: PLC0415

    place = workplace(context, key=key, accept_new_host_key=accept_new_host_key)
    manner = Manner(yes=yes, json=json, wait=wait)
    hosts = _hosts(place, target, "add-service NAME")
    if from_:
        from ctl.cli.adopting import adopt, parse_pins  # noqa: PLC0415

        name = adopt(place, from_, name, allow or [], parse_pins(pin or []), [host.name for host in hosts])
        place = workplace(context, key=key, accept_new_host_key=accept_new_host_key)  # with what is in it now
    elif allow or pin:
        raise UsageError("--allow and --pin are for --from", hint="ctl add-service --from compose.yaml")
    name = name or _pick(place, hosts)
    for host in hosts:
        addition.refuse_present(host, place.stack(host), place.catalogue, name)
    name = place.catalogue.get("services", name).name
    amendments = answered(place, [_with_needs(place, host, name, manner) for host in hosts], set_ or [], manner)
    for host, amendment in zip(hosts, amendments, strict=True):
        for user in addition.users(amendment, place.catalogue):
            err.line(
                ("! ", "yellow"), f"{user} would make use of it and stays as it is; ctl deploy {host.name} tells it"
            )
    _carry_out(
        place, amendments, manner, f"add-service {name}", f"Add {enumerated(amendments[0].names)} to {_names(hosts)}?"
    )
    return 0


def remove_service(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A service of the host.")],
    target: Target = None,
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
    wait: options.Wait = 0,
) -> int:
    """Take a service off a host: containers, door, unit and files. Its data and its secrets stay.

    The inventory forgets a service that was added; one of the stack's own goes to `without`.

    Adding it again finds its data. A service that another one needs is not removed.
    """
    from ctl.core import addition  # noqa: PLC0415

    place = workplace(context, key=key, accept_new_host_key=accept_new_host_key)
    hosts = _hosts(place, target, "remove-service NAME")
    amendments = [addition.remove(host, place.stack(host), place.catalogue, name) for host in hosts]
    name = amendments[0].names[0]
    for amendment in amendments:
        try:
            place.selection(amendment.after)
        except UsageError as error:
            # A variable that names it, say: which service answers at /, which paths are open.
            raise UsageError(
                f"{name} has to stay on {amendment.after.name}: without it {error.message}", hint=error.hint
            ) from error
    manner = Manner(yes=yes, json=json, wait=wait)
    _carry_out(place, amendments, manner, f"remove-service {name}", f"Remove {name} from {_names(hosts)}?")
    for amendment in amendments:
        _tell_data(place, amendment)
    return 0


def _hosts(place: Workplace, target: str | None, command: str) -> list[Host]:
    """The hosts of a target, all of which the inventory has to know: what is added to a host is written there."""
    hosts = place.hosts([] if target is None else [target])
    for host in hosts:
        if host.name not in place.inventory.hosts:
            what = f"ctl deploy {target} --stack STACK" if place.is_new(host) else f"hosts.{host.name} with its stack"
            verb = "writes it there" if place.is_new(host) else "has to be written there first"
            raise UsageError(
                f"{host.name} is not in inventory.yaml, which says what a host runs", hint=f"{what} {verb}"
            )
    if not hosts:
        raise UsageError(f"{target} is a group without hosts", hint=f"ctl {command} HOST")
    return hosts


def _pick(place: Workplace, hosts: list[Host]) -> str:
    """Of the catalogue, what these hosts do not have."""
    from ctl.cli.picking import can_pick, pick  # noqa: PLC0415
    from ctl.core import addition  # noqa: PLC0415

    if not can_pick():
        raise UsageError("which service?", hint="ctl add-service NAME [TARGET]; ctl services lists the names")
    have = {name for host in hosts for name in addition.running(host, place.stack(host), place.catalogue)}
    left = [place.catalogue.get("services", name) for name in place.catalogue.names() if name not in have]
    if not left:
        raise UsageError(f"{_names(hosts)} runs all that is in the catalogue", hint="ctl services lists it")
    return pick(f"Add to {_names(hosts)}:", [(each.name, each.meta.category, each.meta.summary) for each in left])


def _with_needs(place: Workplace, host: Host, name: str, manner: Manner) -> Amendment:
    """The service, and before it what it needs and the host lacks, if that is agreed to."""
    from ctl.core import addition  # noqa: PLC0415

    stack = place.stack(host)
    needs = addition.lacking(host, stack, place.catalogue, name)
    if needs:
        err.line(("! ", "yellow"), f"{name} needs {enumerated(needs)}, which {host.name} does not have")
        confirm(manner.yes, f"Add {enumerated(needs)} too?")
    return addition.add(host, stack, place.catalogue, (*needs, name))


# --- inventory and hosts, together ------------------------------------------------------------------------------------


def _carry_out(place: Workplace, amendments: list[Amendment], manner: Manner, command: str, question: str) -> None:
    """Show, ask, write the inventory, bring the hosts there; where that fails, host and inventory are put back."""
    from ctl.cli.show import plan_json  # noqa: PLC0415

    hosts = [amendment.after for amendment in amendments]
    text = place.project.inventory_text()
    wanted = _amended(place, text, amendments)
    with ExitStack() as closing:
        links, aims = [], []
        for amendment in amendments:
            before = place.aim(amendment.before)
            link, aim = place.connected(amendment.after)
            links.append(closing.enter_context(link))
            aims.append(replace(aim, since=before, spared=amendment.spared))
        # What stands in front of the hosts is phase 1's.
        fronts: list[Front | None] = [None for _ in hosts]
        plans = propose_all(links, aims, hosts, manner, fronts)
        if not (manner.json and manner.yes):
            _show_lines(text, wanted)
            for link, todo in zip(links, plans, strict=True):
                show_plan(link, todo)
        confirm(manner.yes, question)
        place.project.write_inventory(wanted)
        outcomes = apply_all(links, plans, aims, manner, command, fronts)
    failed = [isinstance(outcome, CtlError) for outcome in outcomes]
    if any(failed):
        outcomes = _put_back(place, text, wanted, list(zip(amendments, outcomes, strict=True)))
    conclude([plan_json(todo) for todo in plans], outcomes, manner)


def _amended(place: Workplace, text: str, amendments: Iterable[Amendment]) -> str:
    from ctl.core.inventory_text import amend  # noqa: PLC0415

    for amendment in amendments:
        text = amend(text, amendment.before, amendment.after, file=place.project.show(place.project.inventory_path))
    return text


def _put_back(
    place: Workplace, text: str, wanted: str, ends: list[tuple[Amendment, dict[str, Any] | CtlError]]
) -> list[dict[str, Any] | CtlError]:
    """The inventory without what did not come to be. What may still come to be stays in it, and is told."""
    undone = [amendment for amendment, end in ends if isinstance(end, CtlError) and not _open(end)]
    if not undone:
        word = ""
    elif place.project.inventory_text() == wanted:
        place.project.write_inventory(_amended(place, text, [each for each, _ in ends if each not in undone]))
        word = "inventory.yaml is put back"
    else:
        word = "inventory.yaml was changed meanwhile and is left as it is: it still says what failed"
    return [_told(end, word) if isinstance(end, CtlError) else end for _, end in ends]


def _open(error: CtlError) -> bool:
    """Whether the run may be at work still: nobody knows how it ends."""
    return isinstance(error, Unreachable | Interrupted)


def _told(error: CtlError, word: str) -> CtlError:
    if _open(error):
        word = "inventory.yaml keeps the change, for the run may go through"
    error.message = f"{error.message}\n{word}"
    return error


def _show_lines(old: str, new: str) -> None:
    """What changes in inventory.yaml."""
    err.line(("inventory.yaml", "bold"))
    for line in list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1))[2:]:
        err.line((f"  {line}", {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")))
    err.line("")


def _tell_data(place: Workplace, amendment: Amendment) -> None:
    from ctl.core.addition import data_of  # noqa: PLC0415

    name, host = amendment.names[0], amendment.before.name
    places = data_of(place.aim(amendment.before).release, name)
    if places:
        err.line(f"  its data stays on {host}, in no backup from now on: ", (", ".join(places), "bold"))
    err.line(f"  ctl add-service {name} {host} brings it back, with its data and its secrets")


def _names(hosts: Iterable[Host]) -> str:
    return enumerated(host.name for host in hosts)
