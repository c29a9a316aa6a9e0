"""stacks, services: what there is to deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from ctl.cli import options
from ctl.cli.terminal import out, print_json

if TYPE_CHECKING:
    from ctl.core.service import Service

stacks = typer.Typer(invoke_without_command=True)
services = typer.Typer(invoke_without_command=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


@stacks.callback()
def list_stacks(context: typer.Context, json: options.Json = False) -> None:
    if context.invoked_subcommand:
        return
    from ctl.cli.workplace import Workplace  # noqa: PLC0415

    project = Workplace(context.obj).project
    found = [project.stack(name) for name in project.stack_names()]
    if json:
        print_json([{"name": s.name, "summary": s.summary, "services": list(s.services)} for s in found])
        return
    table = _table("stack", "what it is", "services")
    for stack in found:
        table.add_row(stack.name, stack.summary, ", ".join(stack.services))
    out.console.print(table)


@stacks.command("show")
def show_stack(context: typer.Context, name: str, json: options.Json = False) -> None:
    """One stack: its services and the variables it takes."""
    import msgspec  # noqa: PLC0415

    from ctl.cli.workplace import Workplace  # noqa: PLC0415

    place = Workplace(context.obj)
    stack = place.project.stack(name)
    folders = [
        place.catalogue.get("phases", "phases"),
        place.catalogue.get("proxy", stack.proxy),
        *(place.catalogue.get("services", service) for service in stack.services),
    ]
    declared = {**{k: v for folder in folders for k, v in folder.meta.vars.items()}, **stack.vars}
    if json:
        print_json(msgspec.to_builtins(stack) | {"vars": msgspec.to_builtins(declared)})
        return
    out.line((stack.name, "bold"), f": {stack.summary}\n")
    table = _table("service", "what it is", "memory", "disk")
    for folder in folders[1:]:
        table.add_row(folder.name, folder.meta.summary, folder.meta.requires.memory, folder.meta.requires.disk)
    out.console.print(table)
    out.line("")
    table = _table("variable", "default", "meaning")
    for name, var in declared.items():
        default = "(optional)" if var.optional else "(required)" if var.default is msgspec.UNSET else str(var.default)
        table.add_row(name, default, var.about)
    out.console.print(table)


@services.callback()
def list_services(context: typer.Context, json: options.Json = False) -> None:
    if context.invoked_subcommand:
        return
    from ctl.cli.workplace import Workplace  # noqa: PLC0415

    catalogue = Workplace(context.obj).catalogue
    found = [catalogue.get("services", name) for name in catalogue.names()]
    if json:
        print_json([_summary(service) for service in found])
        return
    table = _table("service", "what it is", "memory", "needs")
    for category in sorted({service.meta.category for service in found}):
        table.add_row(Text(category, "bold"))
        for service in found:
            meta = service.meta
            if meta.category == category:
                table.add_row(f" {service.name}", meta.summary, meta.requires.memory, "\n".join(meta.needs))
    out.console.print(table)


def _summary(service: Service) -> dict[str, object]:
    meta = service.meta
    return {
        "name": service.name,
        "summary": meta.summary,
        "category": meta.category,
        "route": meta.route is not None,
        "auth": meta.auth,
        "needs": list(meta.needs),
        "uses": list(meta.uses),
        "memory": meta.requires.memory,
        "disk": meta.requires.disk,
    }


@services.command("show")
def show_service(context: typer.Context, name: str) -> None:
    """One service's template, as it is on disk."""
    from ctl.cli.workplace import Workplace  # noqa: PLC0415

    service = Workplace(context.obj).catalogue.get("services", name)
    out.console.file.write(service.templates.get("compose.yaml.j2", ""))
