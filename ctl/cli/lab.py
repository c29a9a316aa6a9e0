"""lab: disposable VPSs on this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ctl.cli import options
from ctl.cli.terminal import err, out, print_json
from ctl.core.errors import UsageError

commands = typer.Typer(no_args_is_help=True)

LabName = Annotated[str, typer.Argument(metavar="[NAME]", help="lab, or lab-something.")]


def _say(text: str) -> None:
    err.line(("  … ", "dim"), text)


def _checked(name: str) -> str:
    from ctl.cli.workplace import is_lab  # noqa: PLC0415

    if not is_lab(name):
        raise UsageError(f"{name!r} is no name for a lab host", hint="lab, or lab-something")
    return name


@commands.command("up")
def up(name: LabName = "lab") -> None:
    """Start a VPS: systemd, sshd, no Docker yet. `ctl deploy lab` then works as on any server."""
    from ctl import lab  # noqa: PLC0415

    host = lab.up(_checked(name), say=_say)
    err.line(("✓ ", "green"), (host.name, "bold"), f" is up: ssh on {host.address}:{host.port}")


@commands.command("down")
def down(
    name: LabName = "lab",
    everything: Annotated[bool, typer.Option("--all", help="All lab hosts, the registry and the network.")] = False,
    images: Annotated[bool, typer.Option("--images", help="With --all: the images too.")] = False,
) -> None:
    """Remove a VPS and all that is on it."""
    from ctl import lab  # noqa: PLC0415

    if everything:
        lab.down_all(images=images, say=_say)
    else:
        lab.down(_checked(name), say=_say)


@commands.command("list")
def list_hosts(json: options.Json = False) -> None:
    """The lab hosts of this machine."""
    from ctl import lab  # noqa: PLC0415

    found = lab.hosts()
    if json:
        print_json(
            [
                {"name": h.name, "address": h.address, "port": h.port, "doors": list(h.doors), "running": h.running}
                for h in found
            ]
        )
        return
    for host in found:
        state = ("running", "green") if host.running else ("stopped", "yellow")
        door = f"door {' '.join(map(str, host.doors))}  "
        out.line((f"{host.name:<12}", "bold"), f" {host.address}:{host.port}  ", (door, "cyan"), state)


@commands.command("ssh", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def ssh(context: typer.Context, name: LabName = "lab") -> None:
    """Log in to a lab host; words after its name are run there."""
    from ctl import lab  # noqa: PLC0415

    host = lab.find(_checked(name))
    identity = ["-i", str(host.key), "-o", f"UserKnownHostsFile={host.known_hosts}", "-o", "IdentitiesOnly=yes"]
    target = ["-p", str(host.port), f"{host.user}@{host.address}"]
    os.execvp("ssh", ["ssh", *identity, *target, *context.args])  # noqa: S606
