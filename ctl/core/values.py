"""What a template of a folder sees. The names are listed in docs/templates.md. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from ctl.core.errors import MissingValue, UsageError
from ctl.core.route import External
from ctl.core.secret import Secret
from ctl.core.selection import Selection
from ctl.core.service import Service
from ctl.core.stack import free_range


def values(
    selection: Selection, service: Service, secrets: Mapping[str, Secret], externals: Sequence[External]
) -> dict[str, Any]:
    """Its `secret` raises MissingValue for a name that the folder does not declare, its `refuse` raises UsageError."""
    routes = {route.name: route for route in selection.routes}
    network = ip_network(selection.stack.network.subnet)

    def secret(name: str) -> Secret | None:
        if name not in service.meta.secrets:
            raise MissingValue(f"the secret {name} is not declared under x-ctl.secrets of {service.name}")
        return None if service.meta.secrets[name].optional and name not in secrets else secrets[name]

    def refuse(problem: str, hint: str) -> None:
        raise UsageError(f"{selection.host.name}: {problem}", hint=hint)

    return {
        "host": selection.host,
        "stack": selection.stack,
        "service": service,
        "services": tuple(s.name for s in selection.services),
        "added": tuple(s.name for s in selection.services if s.name in selection.added),
        "clients": _clients(selection, service, secrets),
        "root": selection.root,
        "dir": directory(selection, service),
        "data": f"{selection.root}/data",
        "vars": selection.vars,
        "access": selection.access,
        "doors": selection.doors,
        "metrics": _metrics(selection, secrets) if service.meta.scrapes else [],
        "spawned": selection.spawned,
        "route": routes.get(service.name),
        "routes": selection.routes,
        "external": {external.name: external for external in externals},
        "subnet": selection.stack.network.subnet,
        "gateway": str(network[1]),
        "free_range": str(free_range(network)),
        "secret": secret,
        "refuse": refuse,
    }


def directory(selection: Selection, service: Service) -> str:
    """The folder on the host that a folder of templates becomes."""
    if service.kind == "services":
        return f"{selection.root}/stacks/{service.name}"
    inside = {"proxy": "/proxy", "tls": "/certbot", "dns": "/certbot"}
    return selection.root + inside.get(service.kind, "")


def _clients(selection: Selection, service: Service, secrets: Mapping[str, Secret]) -> dict[str, Secret]:
    """The keys by which other services are known to this one."""
    return {
        other.name: secrets[name]
        for other in sorted(selection.services, key=lambda other: other.name)
        for name, spec in other.meta.secrets.items()
        if spec.shared_with == service.name and name in secrets
    }


def _metrics(selection: Selection, secrets: Mapping[str, Secret]) -> list[dict[str, Any]]:
    """Who has figures, and how it is asked for them."""
    return [
        {
            "name": name,
            "port": spec.port,
            "path": spec.path,
            "token": secrets[spec.secret] if spec.secret else None,
        }
        for name, spec in selection.metrics
    ]
