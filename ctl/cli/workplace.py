"""From the words of a command line to values: which hosts, which release, which transport."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctl.core.errors import InvalidFile, UnknownName, UsageError
from ctl.core.inventory import Host, find_host
from ctl.core.secret import Secret, settle
from ctl.core.service import Catalogue
from ctl.core.target import parse_target
from ctl.edge.project import Project, open_project
from ctl.edge.vault import Vault

if TYPE_CHECKING:
    # What renders is imported when something is rendered: by then a connection can be on its way.
    from ctl.core.ports import Transport
    from ctl.core.release import Release
    from ctl.core.selection import Selection
    from ctl.core.stack import Stack
    from ctl.core.template import Templates
    from ctl.run import Aim


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options of a command add to the inventory."""

    stack: str = ""
    vars: Mapping[str, Any] | None = None
    key: str = ""
    accept_new_host_key: bool = False


class Workplace:
    """A project with everything it knows, read once."""

    def __init__(self, folder: Path | None, wish: Wish | None = None) -> None:
        self.project: Project = open_project(folder)
        self.wish = wish or Wish()
        self.inventory = self.project.inventory()
        self.vault = Vault(self.project.folder)

    @cached_property
    def templates(self) -> Templates:
        from ctl.core.render import check_phase_folders  # noqa: PLC0415
        from ctl.core.template import Templates  # noqa: PLC0415

        texts = self.project.templates()
        check_phase_folders(texts)
        return Templates(texts)

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.templates.texts)

    def hosts(self, targets: Iterable[str]) -> list[Host]:
        """The hosts of some targets, groups opened; without a target the inventory's only host."""
        names = list(targets)
        if not names:
            known = list(self.inventory.hosts)
            if len(known) != 1:
                raise UsageError("which host?", hint=f"name one of {', '.join(known) or 'none: ctl deploy user@host'}")
            names = known
        found: dict[str, Host] = {}
        for name in names:
            for host in self._open(name):
                found[host.name] = self._with_wish(host)
        return list(found.values())

    def host(self, target: str | None) -> Host:
        hosts = self.hosts([] if target is None else [target])
        if len(hosts) != 1:
            raise UsageError(f"{target} is a group of {len(hosts)} hosts, and this command takes one")
        return hosts[0]

    def _open(self, name: str) -> list[Host]:
        if name in self.inventory.groups:
            return [find_host(self.inventory, member) for member in self.inventory.groups[name]]
        if name in self.inventory.hosts:
            return [find_host(self.inventory, name)]
        target = parse_target(name)
        defaults = self.inventory.defaults
        if target.kind == "ssh":
            user, port = target.user or defaults.user, target.port or defaults.port
            for known in self.inventory.hosts:
                host = find_host(self.inventory, known)
                if (host.address, host.user, host.port) == (target.address, user, port):
                    return [host]
            if target.address == "local" or is_lab(target.address):
                raise UsageError(f"{target.address} is no server to log in to", hint=f"write {target.address} alone")
            key = defaults.key if not self.wish.key else self.wish.key
            return [Host(name=name_for(target.address), address=target.address, user=user, port=port, key=key)]
        if target.kind == "local" or is_lab(name):
            return [Host(name=name, address=name, user="root", port=22, stack=defaults.stack, vars=defaults.vars)]
        return [find_host(self.inventory, name)]

    def _with_wish(self, host: Host) -> Host:
        return replace(
            host,
            stack=self.wish.stack or host.stack,
            vars={**host.vars, **(self.wish.vars or {})},
            key=self.wish.key or host.key,
        )

    def is_new(self, host: Host) -> bool:
        """Whether a deploy of this host has something to write into the inventory."""
        return host.name not in self.inventory.hosts and not is_lab(host.name) and host.name != "local"

    def entry(self, host: Host) -> dict[str, Any]:
        """What inventory.yaml is to say about a host that came from the command line."""
        defaults = self.inventory.defaults
        entry: dict[str, Any] = {"address": host.address}
        if host.user != defaults.user:
            entry["user"] = host.user
        if host.port != defaults.port:
            entry["port"] = host.port
        if host.key and host.key != defaults.key:
            entry["key"] = host.key
        entry["stack"] = host.stack
        own = {name: value for name, value in host.vars.items() if defaults.vars.get(name) != value}
        if own:
            entry["vars"] = own
        return entry

    def stack(self, host: Host) -> Stack:
        """Raises UsageError's children."""
        if not host.stack:
            raise UsageError(
                f"which stack is {host.name} to run?",
                hint=f"--stack NAME, or `stack:` in inventory.yaml; known: {', '.join(self.project.stack_names())}",
            )
        return self.project.stack(host.stack)

    def selection(self, host: Host) -> Selection:
        """Raises UsageError's children for whatever does not fit together."""
        stack = self.stack(host)
        from ctl.core.selection import select  # noqa: PLC0415

        source = self.project.show(self.project.inventory_path)
        return select(host, stack, self.catalogue, self.templates, source=source)

    def supplied(self, host: Host) -> dict[str, str]:
        """What the environment and .env hold; for a lab host also what the lab accepts."""
        supplied = self.project.supplied_secrets()
        if not is_lab(host.name):
            return supplied
        from ctl.lab import SECRETS  # noqa: PLC0415  only for lab hosts

        return {**SECRETS, **supplied}

    def secrets(self, selection: Selection) -> dict[str, Secret]:
        """All secrets of a host; what is generated is kept in the vault at once, so that it stays what it is."""
        name = selection.host.name
        supplied = self.supplied(selection.host)
        declared = selection.secrets
        values, fresh = settle(
            declared,
            {key: supplied[key] for key in declared if key in supplied},
            self.vault.read(name),
            os.urandom,
            name,
        )
        if not fresh:
            return values
        now = self.vault.add(name, fresh)  # another command may have been quicker, and then its values stand
        return {key: Secret(key, now[key]) if key in fresh else value for key, value in values.items()}

    def aim(
        self,
        host: Host,
        phases: Collection[int] = (1, 2, 3, 4),
        only: Collection[str] = (),
        *,
        instead: Collection[Secret] = (),
    ) -> Aim:
        """What is to be on the host; `instead` are secrets that are to have another value than here."""
        return self._render(*self._settled(host, only, instead), phases, only)

    def connected(
        self, host: Host, phases: Collection[int] = (1, 2, 3, 4), only: Collection[str] = ()
    ) -> tuple[Transport, Aim]:
        """The host's transport and what is to be on it: connected to while it is rendered, once the input is good."""
        selection, values = self._settled(host, only)
        link = self.transport(host, ahead=True)
        try:
            return link, self._render(selection, values, phases, only)
        except BaseException:
            link.close()
            raise

    def _settled(
        self, host: Host, only: Collection[str], instead: Collection[Secret] = ()
    ) -> tuple[Selection, dict[str, Secret]]:
        """Everything that a person can have got wrong is found here, before any rendering or connecting."""
        selection = self.selection(host)
        known = [folder.name for folder in (*selection.services, selection.proxy)]
        for name in only:
            if name not in known:
                raise UnknownName("service on this host", name, known)
        for site in selection.sites.values():
            from ctl.edge.site import ready  # noqa: PLC0415  few stacks have one

            ready(self.project, site)
        return selection, {**self.secrets(selection), **{secret.name: secret for secret in instead}}

    def _render(
        self, selection: Selection, values: dict[str, Secret], phases: Collection[int], only: Collection[str]
    ) -> Aim:
        from ctl.core.render import render  # noqa: PLC0415
        from ctl.edge.site import contexts  # noqa: PLC0415
        from ctl.run import Aim  # noqa: PLC0415

        def release(chosen: Selection) -> Release:
            return render(chosen, values, self.templates, contexts(self.project))

        carded = partial(release, selection.with_card()) if selection.vars["gpu"] == "auto" else None
        return Aim(release(selection), self.templates, phases, only, entrance=selection.entrance, carded=carded)

    def transport(self, host: Host, *, ahead: bool = False) -> Transport:
        """A transport that connects when it is first used; with `ahead` it begins at once, beside the rendering."""
        if host.name == host.address == "local":
            from ctl.edge.local import LocalTransport  # noqa: PLC0415

            return LocalTransport()
        from ctl.edge.ssh import SshTransport  # noqa: PLC0415  paramiko costs 120 ms

        if is_lab(host.name) and host.address == host.name:
            from ctl import lab  # noqa: PLC0415

            machine = lab.find(host.name)
            transport = SshTransport(
                address=machine.address,
                port=machine.port,
                user=machine.user,
                key=machine.key,
                known_hosts=machine.known_hosts,
                ssh_config=False,
            )
        else:
            transport = SshTransport(
                address=host.address,
                port=host.port,
                user=host.user,
                key=Path(host.key).expanduser() if host.key else None,
                known_hosts=None,
                accept_new_host_key=self.wish.accept_new_host_key,
            )
        if ahead:
            transport.connect_ahead()
        return transport


def is_lab(name: str) -> bool:
    """Lab hosts are named `lab` or `lab-…`."""
    return name == "lab" or name.startswith("lab-")


def name_for(address: str) -> str:
    """The name under which a host from the command line is written into the inventory."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", address).strip("-._")[:63]


def parse_vars(words: Iterable[str]) -> dict[str, Any]:
    """`--set name=value` words; values are read as YAML, so that ports are integers and lists are lists."""
    from ctl.core.document import load  # noqa: PLC0415

    values: dict[str, Any] = {}
    for word in words:
        name, mark, text = word.partition("=")
        if not mark or not name.isidentifier():
            raise UsageError(f"--set takes name=value, got {word!r}")
        try:
            values[name] = load(text, file=f"--set {name}").data
        except InvalidFile:
            values[name] = text
    return values
