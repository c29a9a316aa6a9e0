"""What a template declares and nobody has given yet: asked for at the terminal, or named where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from ctl.cli.applying import Manner
from ctl.cli.terminal import enumerated, err, stdin_is_terminal
from ctl.core.errors import Interrupted, InvalidFile, MissingValue, UsageError

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.addition import Amendment
    from ctl.core.secret import SecretSpec
    from ctl.core.service import Service, Var


def answered(place: Workplace, amendments: list[Amendment], words: Iterable[str], manner: Manner) -> list[Amendment]:
    """With a value for everything that the services declare: asked for once, for all hosts. Raises MissingValue."""
    from ctl.cli.workplace import parse_vars  # noqa: PLC0415
    from ctl.core import addition  # noqa: PLC0415

    given = parse_vars(words)
    wanted: dict[str, Var] = {}
    supply: dict[str, SecretSpec] = {}
    for amendment in amendments:
        host, services = amendment.before, _services(place, amendment)
        addition.foreign(given, services)
        wanted |= addition.unanswered(replace(host, vars={**host.vars, **given}), place.stack(host), services)
        supply |= addition.unsupplied(services, {*place.supplied(host), *place.vault.read(host.name)})
    if (wanted or supply) and (manner.yes or not stdin_is_terminal()):
        raise _missing(amendments[0].names[-1], wanted, supply)
    given |= {name: _ask_var(name, var) for name, var in wanted.items()}
    secrets = {name: _ask_secret(name, spec, amendments[0].before.name) for name, spec in supply.items()}
    for amendment in amendments if secrets else ():
        place.vault.keep(amendment.before.name, secrets)
        err.line(("✓ ", "green"), f"{enumerated(secrets)}: in the vault, for {amendment.before.name}")
    return [_with_vars(place, amendment, given) for amendment in amendments]


def _with_vars(place: Workplace, amendment: Amendment, given: Mapping[str, Any]) -> Amendment:
    declared = {name for service in _services(place, amendment) for name in service.meta.vars}
    own = {name: value for name, value in given.items() if name in declared}
    return replace(amendment, after=replace(amendment.after, vars={**amendment.after.vars, **own}))


def _services(place: Workplace, amendment: Amendment) -> list[Service]:
    return [place.catalogue.get("services", name) for name in amendment.names]


def _missing(name: str, wanted: Mapping[str, Var], supply: Mapping[str, SecretSpec]) -> MissingValue:
    parts = [f"the variable {each} ({var.about})" for each, var in wanted.items()]
    parts += [f"the secret {each}" + (f" ({spec.about})" if spec.about else "") for each, spec in supply.items()]
    ways = [f"--set {each}=VALUE" for each in wanted]
    if supply:
        ways.append(f"{enumerated(supply)} in the environment or in .env")
    return MissingValue(
        f"{name} lacks {enumerated(parts)}", hint=f"{', '.join(ways)}; or at a terminal, where it is asked for"
    )


def _ask_var(name: str, var: Var) -> Any:
    from ctl.cli.workplace import parse_vars  # noqa: PLC0415
    from ctl.core.stack import resolve_vars  # noqa: PLC0415

    about = f"{var.about}: {', '.join(var.choices)}" if var.choices else var.about
    while True:
        err.line((name, "bold"), f" ({about}): ", end="")
        try:
            given = parse_vars([f"{name}={input().strip()}"])  # not typer.prompt, which leaves a blank on stdout
        except EOFError as end:
            raise Interrupted("not answered; nothing has changed") from end
        try:
            return resolve_vars({name: var}, given, source="", who="")[name]
        except InvalidFile as error:
            err.line(("! ", "yellow"), error.problem)


def _ask_secret(name: str, spec: SecretSpec, host: str) -> str:
    from ctl.core.secret import check_value  # noqa: PLC0415

    while True:
        about = f" ({spec.about})" if spec.about else ""
        value = str(typer.prompt(f"{name}{about}", hide_input=True, confirmation_prompt=True, err=True))
        try:
            check_value(name, value, spec, host)
        except UsageError as error:
            err.line(("! ", "yellow"), error.message)
        else:
            return value
