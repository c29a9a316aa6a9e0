"""secrets: what the vault holds for a host, and how it gets there and changes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ctl.cli import options
from ctl.cli.terminal import err, out, print_json, stdin_is_terminal
from ctl.core.errors import MissingValue, UnknownName, UsageError

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.inventory import Host
    from ctl.core.plan import Plan
    from ctl.core.secret import SecretSpec
    from ctl.run import Aim
    from ctl.run.custody import Rotation

commands = typer.Typer(no_args_is_help=True)

MISSING = "MISSING"

Target = Annotated[str, typer.Argument(metavar="TARGET", help="A host of inventory.yaml, or lab.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name, as in ctl secrets list.")]


@commands.command("list")
def list_secrets(context: typer.Context, target: options.Target = None, json: options.Json = False) -> None:
    """The secrets that a host's stack asks for, where each comes from and what it is for. No values."""
    place = _workplace(context)
    host = place.host(target)
    kept, supplied = place.vault.read(host.name), place.supplied(host)
    by_hand = place.project.supplied_secrets()
    rows = [
        {
            "name": name,
            "source": "environment or .env"
            if name in by_hand
            else "the lab"
            if name in supplied
            else "vault"
            if name in kept
            else "generated at first use"
            if spec.generate
            else "not given"
            if spec.optional
            else MISSING,
            "sticky": spec.sticky,
            "rotate": spec.rotate or None,
            "login": bool(spec.login),
            "about": spec.about,
        }
        for name, spec in place.selection(host).secrets.items()
    ]
    if json:
        print_json(rows)
        return
    name_width = max((len(str(row["name"])) for row in rows), default=0)
    source_width = max((len(str(row["source"])) for row in rows), default=0)
    for row in rows:
        kind = "sticky" if row["sticky"] else "recipe" if row["rotate"] else "login" if row["login"] else ""
        style = "red" if row["source"] == MISSING else ""
        out.line(
            (f"{row['name']:<{name_width}}  ", "bold"),
            (f"{row['source']:<{source_width}}  ", style),
            (f"{kind:<6}  ", "yellow"),
            (str(row["about"]), "dim"),
        )


@commands.command("show")
def show(
    context: typer.Context,
    target: Target,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    login: Annotated[bool, typer.Option("--login", help="User and password of the doors.")] = False,
) -> None:
    """Print one secret's value, or with --login what a person types at the doors."""
    place = _workplace(context)
    selection = place.selection(place.host(target))
    values = place.secrets(selection)
    if login:
        for key in selection.logins:
            user = selection.vars.get(selection.secrets[key].login, "")
            out.line(f"{user} {values[key].reveal()}")
        return
    if name is None:
        raise UsageError("which secret?", hint="name one, or --login for the one of the doors")
    _known(name, selection.secrets)
    typer.echo(values[name].reveal())


@commands.command("set")
def set_secret(context: typer.Context, target: Target, name: Name) -> None:
    """Keep a secret in the vault; its value is read from stdin, or asked for."""
    from ctl.core.secret import check_value  # noqa: PLC0415

    place = _workplace(context)
    host = place.host(target)
    spec = _known(name, place.selection(host).secrets)
    value = _asked(name) if stdin_is_terminal() else _read()
    if not value or any(letter in value for letter in "\0\r\n"):
        raise UsageError("a secret is one line of text, and not empty")
    check_value(name, value, spec, host.name)
    place.vault.keep(host.name, {name: value})
    err.line(("✓ ", "green"), f"{name} is in the vault; ctl deploy {host.name} brings it to the host")
    if name in place.project.supplied_secrets():
        err.line(("! ", "yellow"), f"the environment or .env holds {name} too, and comes first")


@commands.command("pull")
def pull(
    context: typer.Context,
    target: Target,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> None:
    """Fill the vault with the secrets that a host holds: after its loss, or on another machine."""
    from ctl.run.custody import recover  # noqa: PLC0415

    place = _workplace(context, key, accept_new_host_key)
    host = place.host(target)
    selection = place.selection(host)
    kept, supplied = place.vault.read(host.name), place.supplied(host)
    with place.transport(host) as transport:
        found = recover(transport, selection)
    ended = [_next(name) for name, value in found.items() if kept.get(_next(name)) == value]
    place.vault.keep(host.name, found, forget=ended)
    for name in sorted(selection.secrets):
        if name in found:
            state = "the same as here" if kept.get(name) == found[name] else "replaced" if name in kept else "recovered"
            err.line(("✓ ", "green"), (name, "bold"), f"  {state}")
            if supplied.get(name, found[name]) != found[name]:
                err.line(("! ", "yellow"), f"the environment or .env says something else for {name}, and comes first")
        elif name not in supplied:
            spec = selection.secrets[name]
            after = "as it is in the vault" if name in kept else "generated anew" if spec.generate else "to be set"
            err.line(("- ", "dim"), (name, "bold"), f"  not on the host; {after}")


@commands.command("rotate")
def rotate(
    context: typer.Context,
    target: Target,
    name: Name,
    yes: options.Yes = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> None:
    """Give a secret a new value, everywhere: where it is stored, by its recipe, and in what uses it.

    If what uses it does not become healthy again, the old value goes back.
    """
    from ctl.cli.applying import Manner, apply, confirm, show_plan  # noqa: PLC0415
    from ctl.run import custody  # noqa: PLC0415

    place = _workplace(context, key, accept_new_host_key)
    host = place.host(target)
    rotation = _rotation(place, host, name)

    def bring(todo: Plan, aim: Aim) -> None:
        apply(transport, todo, aim, Manner(rollback=False), f"secrets rotate {host.name} {name}")

    with place.transport(host) as transport:
        todo = custody.prepare(transport, rotation)
        if rotation.resumed:
            err.line(("! ", "yellow"), f"an earlier rotation of {name} was cut short; this one ends it")
        show_plan(transport, todo)
        confirm(yes, f"Give {name} a new value?")
        # Kept before anything is changed: whatever happens to this program, no value is lost.
        place.vault.keep(host.name, {_next(name): rotation.new.reveal()})
        undone = custody.rotate(transport, rotation, todo, bring)
    place.vault.keep(host.name, {} if undone else {name: rotation.new.reveal()}, forget=[_next(name)])
    if undone:
        raise undone
    err.line(("✓ ", "green"), f"{name} has a new value on {host.name}")


def _rotation(place: Workplace, host: Host, name: str) -> Rotation:
    """What is to change, or why it cannot. Raises UsageError's children."""
    from ctl.core.render import recipe  # noqa: PLC0415
    from ctl.core.secret import Secret  # noqa: PLC0415
    from ctl.run.custody import Rotation  # noqa: PLC0415

    selection = place.selection(host)
    spec = _known(name, selection.secrets)
    if spec.sticky:
        why = spec.about or "stored data depends on it"
        raise UsageError(f"{name} is sticky and never changes: {why}")
    if spec.generate is None:
        raise UsageError(f"{name} is not generated here", hint=f"ctl secrets set {host.name} {name}, then ctl deploy")
    if name in place.project.supplied_secrets():
        raise UsageError(
            f"{name} comes from the environment or .env", hint="change or remove it there, then ctl deploy"
        )
    kept = place.vault.read(host.name)
    if name not in kept:
        raise MissingValue(f"{name} has no value yet", hint=f"ctl secrets pull {host.name}, or ctl deploy {host.name}")
    new = Secret(name, kept.get(_next(name)) or spec.new(os.urandom))
    return Rotation(
        old=Secret(name, kept[name]),
        new=new,
        recipe=recipe(selection, name, place.templates),
        before=place.aim(host),
        after=place.aim(host, instead=(new,)),
        resumed=_next(name) in kept,
    )


def _next(name: str) -> str:
    """Under which name the vault keeps the new value during a rotation. No secret is called so."""
    return f"{name}.next"


def _known(name: str, specs: dict[str, SecretSpec]) -> SecretSpec:
    if name not in specs:
        raise UnknownName("secret of this host", name, specs)
    return specs[name]


def _asked(name: str) -> str:
    return str(typer.prompt(name, hide_input=True, confirmation_prompt=True, err=True))


def _read() -> str:
    try:
        return sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError("a secret is text, and this is not UTF-8") from error


def _workplace(context: typer.Context, key: str = "", accept_new_host_key: bool = False) -> Workplace:
    from ctl.cli.applying import workplace  # noqa: PLC0415

    return workplace(context, key=key, accept_new_host_key=accept_new_host_key)
