"""status: what runs on a host, and whether it is what should run there."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ctl.cli import front, options
from ctl.cli.terminal import out, print_json

if TYPE_CHECKING:
    from ctl.core.certificate import Certificate
    from ctl.core.plan import Plan
    from ctl.core.probe import ContainerFact, Facts


def status(
    context: typer.Context,
    targets: options.Targets = None,
    json: options.Json = False,
    detailed_exitcode: options.DetailedExitCode = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every few seconds, until Ctrl-C.")] = False,
    stack: options.StackName = "",
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> int:
    """Services, health, units, disk and drift of hosts, from one look at each."""
    from ctl import run  # noqa: PLC0415
    from ctl.cli.show import change_line  # noqa: PLC0415
    from ctl.cli.workplace import Wish, Workplace  # noqa: PLC0415
    from ctl.core.plan import plan  # noqa: PLC0415

    place = Workplace(context.obj, Wish(stack, None, key, accept_new_host_key))
    hosts = place.hosts(targets or [])
    aims = [place.aim(host) for host in hosts]
    while True:
        found: list[Plan] = []
        for host, aim in zip(hosts, aims, strict=True):
            with place.transport(host) as transport:
                facts = run.look(transport, aim, live=True)
            found.append(plan(aim.on(facts).release, facts))
        clouds = [front.status(place, host) for host in hosts]
        reports = [front.with_cloud(report(todo), data) for todo, data in zip(found, clouds, strict=True)]
        if json:
            print_json(reports[0] if len(reports) == 1 else reports)
        else:
            if watch:
                out.console.clear()
            for todo, data in zip(found, reports, strict=True):
                for line in lines(data):
                    out.console.print(line)
                for change in todo.changes if data["release"] else ():
                    out.console.print(change_line(change))
                for rule in front.rule_lines(data["pending"]):
                    out.console.print(rule)
        if not watch:
            break
        time.sleep(5)
    amiss = any(data["pending"] or data.get("cloud", {}).get("error") for data in reports)
    return 3 if detailed_exitcode and (amiss or any(found)) else 0


def report(todo: Plan) -> dict[str, Any]:
    """The status of one host for programs. Sizes are megabytes."""
    from ctl.cli.show import change_json  # noqa: PLC0415
    from ctl.core import certificate  # noqa: PLC0415

    release, facts = todo.release, todo.facts
    services: dict[str, dict[str, Any]] = {}
    for container in release.containers:
        service = services.setdefault(container.service, {"name": container.service, "healthy": True, "containers": []})
        there: list[ContainerFact | None] = [fact for fact in facts.containers if fact.name == container.name]
        there += [None] * (container.replicas - len(there))
        for fact in there:
            state = fact.state if fact else "missing"
            health = (fact.health or "none") if fact else "missing"
            service["containers"].append(
                {"name": container.name, "state": state, "health": health, "id": fact.id if fact else None}
            )
            service["healthy"] = service["healthy"] and state == "running" and health == "healthy"
        if container.spawns:
            service["spawned"] = {container.spawns.title: facts.spawned.get(container.spawns.label)}
    return {
        "host": release.host,
        "stack": release.stack,
        "release": facts.current or None,
        "healthy": bool(services) and all(service["healthy"] for service in services.values()),
        "services": list(services.values()),
        "units": {name: {"active": unit.active, "enabled": unit.enabled} for name, unit in sorted(facts.units.items())},
        "routes": [{"name": route.name, "urls": list(route.urls)} for route in release.routes],
        "certificates": [_certificate(one, facts) for one in certificate.shown(facts.certificates)],
        "certificate_refused": facts.refused or None,
        "externals": [
            {"name": e.name, "url": e.url, "answers": facts.externals.get(e.name, "000") == "200"}
            for e in release.externals
        ],
        "memory": {"total": facts.memory, "free": facts.memory_free},
        "disk": {"total": facts.disk, "free": facts.disk_free},
        "locked": facts.locked,
        "drift": [change_json(change) for change in todo.drift],
        "pending": [change_json(change) for change in todo.changes],
    }


def _certificate(one: Certificate, facts: Facts) -> dict[str, Any]:
    from ctl.core.certificate import moment  # noqa: PLC0415

    now = moment(facts.time)
    return {
        "names": list(one.names),
        "issuer": one.issuer,
        "self_signed": one.self_signed,
        "serial": one.serial,
        "expires": one.ends.isoformat(),
        "days": one.days(now),
        "warning": one.warning(now) or None,
    }


def lines(data: dict[str, Any]) -> list[Text]:
    """The same for a person."""
    if not data["release"]:
        word = ("not deployed", "yellow")
    elif not data["healthy"]:
        word = ("not healthy", "red")
    elif data["drift"]:
        word = ("drifted", "yellow")
    else:
        word = ("healthy", "green")
    result = [
        Text.assemble(
            (data["host"], "bold"), f": {data['stack']}, release {data['release'] or '-'}  ", word, _capacity(data)
        )
    ]
    urls = {route["name"]: "  ".join(route["urls"]) for route in data["routes"]}
    for service in data["services"]:
        mark = ("✓", "green") if service["healthy"] else ("✗", "red")
        states = Counter(
            c["state"] if c["health"] in {"healthy", "missing"} else f"{c['state']}, {c['health']}"
            for c in service["containers"]
        )
        words = [f"{count} × {word}" if count > 1 else word for word, count in states.items()]
        words += [f"{count} {title}" for title, count in service.get("spawned", {}).items() if count is not None]
        state = ", ".join(words)
        name = f" {service['name']:<14} "
        result.append(
            Text.assemble("  ", mark, (name, "bold"), f"{state:<20} ", (urls.get(service["name"], ""), "cyan"))
        )
    for name, unit in data["units"].items():
        # A unit that only a timer starts is static, and rests in between.
        if unit["active"] == "failed" or (unit["active"] != "active" and unit["enabled"] != "static"):
            result.append(Text.assemble("  ", ("✗", "red"), f" unit {name}: {unit['active']}, {unit['enabled']}"))
    for external in data["externals"]:
        sign = ("✓", "green") if external["answers"] else ("!", "yellow")
        says = "answers" if external["answers"] else "does not answer"
        result.append(Text.assemble("  ", sign, (f" {external['name']:<14} ", "bold"), f"{says:<20} ", external["url"]))
    result += _certificate_lines(data)
    result.extend(front.cloud_lines(data.get("cloud")))
    if data["locked"]:
        result.append(Text("  a run is at work", "yellow"))
    if data["pending"] and data["release"]:
        result.append(Text("  not as it should be:" if data["drift"] else "  a deploy would change:", "yellow"))
    return result


def _certificate_lines(data: dict[str, Any]) -> list[Text]:
    result = []
    for one in data["certificates"]:
        sign = ("!", "yellow") if one["warning"] else ("✓", "green")
        issuer = "itself" if one["self_signed"] else one["issuer"]
        left = f"{one['days']} days" if one["days"] else "less than a day"
        text = f" {', '.join(one['names'])}, signed by {issuer}, {left} left"
        result.append(Text.assemble("  ", sign, (" certificate", "bold"), text))
        if one["warning"]:
            result.append(Text(f"    {one['warning']}", "yellow"))
    if data["certificate_refused"]:
        said = f"    the authority gave none when last asked: {data['certificate_refused']}"
        result.append(Text(said, "yellow"))
    return result


def _capacity(data: dict[str, Any]) -> str:
    memory, disk = data["memory"], data["disk"]
    free, total = disk["free"] // 1024, disk["total"] // 1024
    return f"  memory {memory['free']} of {memory['total']} MB free, disk {free} of {total} GB free"
