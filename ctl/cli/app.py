"""The table of commands. What each does is in its module; what that needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import ctl
from ctl.cli import adding, backup, bridge, catalogue, deploy, doctor, lab, runs, secrets, status

HELP = ["-h", "--help"]


def _typer(help_text: str) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": HELP},
    )


app = _typer("From a bare Debian or Ubuntu server to a running self-hosted AI platform, over SSH.")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ctl {ctl.__version__}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    project: Annotated[
        Path | None, typer.Option("--project", "-C", help="Folder of inventory.yaml; the current one by default.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,  # noqa: ARG001
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = project


app.command("plan", rich_help_panel="Hosts")(deploy.plan)
app.command("deploy", rich_help_panel="Hosts")(deploy.deploy)
app.command("setup", rich_help_panel="Hosts")(deploy.setup)
app.command("configure", rich_help_panel="Hosts")(deploy.configure)
app.command("add-service", rich_help_panel="Hosts")(adding.add_service)
app.command("remove-service", rich_help_panel="Hosts")(adding.remove_service)
app.command("status", rich_help_panel="Hosts")(status.status)
app.command("doctor", rich_help_panel="Hosts")(doctor.doctor)
app.command("history", rich_help_panel="Hosts")(runs.history)
app.command("rollback", rich_help_panel="Hosts")(runs.rollback)
app.command("attach", rich_help_panel="Hosts")(runs.attach)
app.command("backup", rich_help_panel="Hosts")(backup.backup)
app.command("restore", rich_help_panel="Hosts")(backup.restore)
app.command("render", rich_help_panel="Hosts")(deploy.render)
app.command("bridge", rich_help_panel="Desktop")(bridge.bridge)

for name, module, text in (
    ("stacks", catalogue.stacks, "The stacks that can be deployed."),
    ("services", catalogue.services, "The services that stacks are made of."),
    ("secrets", secrets.commands, "The vault: secrets by host."),
    ("lab", lab.commands, "Disposable VPSs on this machine, to try things on."),
):
    module.info.help = text
    app.add_typer(module, name=name, rich_help_panel="Around them")
