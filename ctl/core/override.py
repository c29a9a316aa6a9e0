"""What a stack and a host set for one service beside its own template, and what its replicas need for that. Pure."""

from __future__ import annotations

import msgspec

from ctl.core.selection import Selection
from ctl.core.service import Service, megabytes
from ctl.core.stack import ServiceOverride, Stack


def override(selection: Selection, service: Service) -> ServiceOverride:
    """What its containers get: networks, address, replicas."""
    stack = selection.stack
    if service.kind == "proxy":
        front = ("default", *stack.network.front) if stack.network.front else ()
        return ServiceOverride(address=stack.network.proxy, networks=front)
    own = _declared(selection, service)
    if service.meta.scrapes:
        return msgspec.structs.replace(own, networks=selection.scraped_networks(own.networks))
    return own


def memory(selection: Selection, folder: Service) -> int:
    """What a service declares, in megabytes: each of its replicas wants as much."""
    each = megabytes(folder.meta.requires.memory, file=folder.folder, path="requires.memory")
    return each * ((_declared(selection, folder).replicas if folder.kind == "services" else None) or 1)


def spare(selection: Selection) -> tuple[tuple[str, int], ...]:
    """Services that no other one needs, with the memory that each declares, the largest first."""
    services = selection.services
    needed = {need for service in services for need in (*service.meta.needs, *service.meta.uses)}
    sizes = {service.name: memory(selection, service) for service in services}
    return tuple(
        sorted(((n, size) for n, size in sizes.items() if n not in needed), key=lambda pair: (-pair[1], pair[0]))
    )


def _declared(selection: Selection, service: Service) -> ServiceOverride:
    """What the stack sets differently, and the host differently from that."""
    own = selection.stack.services.get(service.name) or ServiceOverride(networks=_joined(selection.stack, service))
    replicas = selection.host.replicas.get(service.name, own.replicas)
    return msgspec.structs.replace(own, replicas=replicas)


def _joined(stack: Stack, service: Service) -> tuple[str, ...]:
    """The networks of a service of which the stack says nothing: also the inner ones of what it has to reach."""
    reached = [
        stack.services.get(name, ServiceOverride()).networks for name in (*service.meta.needs, *service.meta.uses)
    ]
    inner = {name for networks in reached if "default" not in networks for name in networks}
    return ("default", *sorted(inner)) if inner else ()
