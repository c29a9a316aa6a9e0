"""secrets: what the vault holds for a host."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ctl.cli import options
from ctl.cli.terminal import err, out, print_json, stdin_is_terminal
from ctl.core.errors import UnknownName, UsageError

commands = typer.Typer(no_args_is_help=True)

Host = Annotated[str, typer.Argument(metavar="TARGET", help="A host of inventory.yaml, or lab.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name, as in ctl secrets list.")]


@commands.command("list")
def list_secrets(context: typer.Context, target: options.Target = None, json: options.Json = False) -> None:
    """The names of the secrets that a host's stack asks for, and where each comes from. No values."""
    from ctl.cli.workplace import Workplace, is_lab  # noqa: PLC0415

    place = Workplace(context.obj)
    host = place.host(target)
    supplied, kept = place.project.supplied_secrets(), place.vault.read(host.name)
    rows = []
    for name, spec in place.selection(host).secrets.items():
        source = (
            "environment or .env"
            if name in supplied
            else "vault"
            if name in kept
            else "generated at first use"
            if spec.generate
            else "the lab"
            if is_lab(host.name)
            else "MISSING"
        )
        rows.append({"name": name, "source": source, "about": spec.about})
    if json:
        print_json(rows)
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        out.line((f"{row['name']:<{width}}", "bold"), f"  {row['source']}", (f"  {row['about']}", "dim"))


@commands.command("show")
def show(
    context: typer.Context,
    target: Host,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    login: Annotated[bool, typer.Option("--login", help="User and password of the doors.")] = False,
) -> None:
    """Print one secret's value, or with --login what a person types at the doors."""
    from ctl.cli.workplace import Workplace  # noqa: PLC0415

    place = Workplace(context.obj)
    selection = place.selection(place.host(target))
    values = place.secrets(selection)
    if login:
        for key, spec in selection.secrets.items():
            if spec.login:
                out.line(f"{selection.vars.get('user', '')} {values[key].reveal()}")
        return
    if name is None:
        raise UsageError("which secret?", hint="name one, or --login for the one of the doors")
    if name not in values:
        raise UnknownName("secret of this host", name, values)
    out.line(values[name].reveal())


@commands.command("set")
def set_secret(context: typer.Context, target: Host, name: Name) -> None:
    """Keep a secret in the vault; its value is read from stdin, or asked for."""
    from ctl.cli.workplace import Workplace  # noqa: PLC0415

    place = Workplace(context.obj)
    host = place.host(target)
    known = place.selection(host).secrets
    if name not in known:
        raise UnknownName("secret of this host", name, known)
    value = typer.prompt(name, hide_input=True, err=True) if stdin_is_terminal() else sys.stdin.read().rstrip("\n")
    if not value or any(letter in value for letter in "\0\r\n"):
        raise UsageError("a secret is one line of text, and not empty")
    place.vault.keep(host.name, {name: value})
    err.line(("✓ ", "green"), f"{name} is in the vault; ctl deploy {host.name} brings it to the host")
