"""Static sites that are made on this machine before a deploy takes them along."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ctl.cli.terminal import err

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.inventory import Host
    from ctl.core.site import Site


def build(place: Workplace, hosts: list[Host], phases: Collection[int], only: Collection[str]) -> None:
    """Run the commands that make the hosts' sites, each once. Raises RunFailed: no host has been looked at yet."""
    for service, site in _concerned(place, hosts, phases, only):
        from ctl.edge import site as sites  # noqa: PLC0415

        where = place.project.show(sites.workshop(place.project, site))
        err.line(("building ", "bold"), f"{service} on this machine, in {where}: ", (site.build, "cyan"))
        sites.build(place.project, site)


def announce(place: Workplace, hosts: list[Host], phases: Collection[int], only: Collection[str]) -> None:
    """Say what a deploy would run here first; what is planned is made of what is there now."""
    for service, site in _concerned(place, hosts, phases, only):
        err.line(f"a deploy first builds {service} on this machine: ", (site.build, "cyan"))


def _concerned(
    place: Workplace, hosts: list[Host], phases: Collection[int], only: Collection[str]
) -> list[tuple[str, Site]]:
    """The sites with a command that take part, each once, with a service that shows it."""
    found: dict[Site, str] = {}
    if {2, 4} & set(phases):
        for host in hosts:
            for service, site in place.selection(host).sites.items():
                if site.build and (not only or service in only):
                    found.setdefault(site, service)
    return [(service, site) for site, service in found.items()]
