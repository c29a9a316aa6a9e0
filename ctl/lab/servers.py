"""The hosts of the lab.

The engine is the only record of them: names, ports and states are read from it, never kept beside it.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from ctl.core.errors import CtlError, UnknownName, UsageError
from ctl.lab import build, ground, keys, recipes, registry
from ctl.lab.host import SECRETS, LabHost
from ctl.lab.machine import alone, engine, state, survey
from ctl.lab.recipes import File, archive

NETWORK = "ctl-lab"
ADDRESS = "127.0.0.1"
USER = "admin"
SSH_PORTS = range(2201, 2300)
DOOR = 8443
DOOR_PORTS = range(DOOR, DOOR + 100)
BOOT_SECONDS = 90.0
STOP_SECONDS = 40
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


def up(name: str, *, say: Callable[[str], None]) -> LabHost:
    """See `ctl.lab.up`."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a lab host", hint="lower-case letters, digits, dashes; a letter first")
    with engine() as client, alone():
        machine = survey()
        book = recipes.load(machine, ground.IMAGE)
        _network(client)
        # Real programs where stand-ins do: `make e2e-real`.
        slow = os.environ.get("CTL_LAB_REAL") == "1"
        registry.ensure(client, machine, book, NETWORK, slow=slow, say=say)
        image = build.ensure(client, machine, book, "host", say=say)
        container = _container(client, name)
        if container is None:
            container = _create(client, name, image)
            say(f"made the host {name}")
        elif container.labels.get("ctl.lab.image") != image:
            say(f"the host {name} was made from an older image; `ctl lab down {name}` first for the new one")
        if container.status != "running":
            _boot(container, say=say)
        return _host(container)


def down(name: str, *, say: Callable[[str], None]) -> None:
    """See `ctl.lab.down`."""
    with engine() as client, alone():
        _remove(_named(client, name))
        say(f"removed the host {name}")


def down_all(*, images: bool, say: Callable[[str], None]) -> None:
    """See `ctl.lab.down_all`."""
    with engine() as client, alone():
        for container in _containers(client):
            _remove(container)
            say(f"removed the host {container.labels['ctl.lab.name']}")
        registry.remove(client, storage=images)
        for network in client.networks.list(names=[f"^{NETWORK}$"]):
            network.remove()
        if images:
            build.remove(client)
            say("removed the images")


def hosts() -> tuple[LabHost, ...]:
    """See `ctl.lab.hosts`."""
    with engine() as client:
        return tuple(_host(container) for container in _containers(client))


def find(name: str) -> LabHost:
    """See `ctl.lab.find`."""
    with engine() as client:
        return _host(_named(client, name))


def reboot(name: str) -> None:
    """See `ctl.lab.reboot`."""
    with engine() as client:
        container = _named(client, name)
        container.stop(timeout=STOP_SECONDS)
        _boot(container, say=lambda _: None)


def _containers(client: docker.DockerClient) -> list[Container]:
    found: Iterable[Container] = client.containers.list(all=True, filters={"label": f"{build.LABEL}=host"})
    return sorted(found, key=lambda container: container.labels["ctl.lab.name"])


def _container(client: docker.DockerClient, name: str) -> Container | None:
    return next((one for one in _containers(client) if one.labels["ctl.lab.name"] == name), None)


def _named(client: docker.DockerClient, name: str) -> Container:
    container = _container(client, name)
    if container is None:
        known = [one.labels["ctl.lab.name"] for one in _containers(client)]
        raise UnknownName("lab host", name, known, hint=f"ctl lab up {name}")
    return container


def _network(client: docker.DockerClient) -> None:
    if not client.networks.list(names=[f"^{NETWORK}$"]):
        client.networks.create(NETWORK, driver="bridge", check_duplicate=True, labels={build.LABEL: "network"})


def _create(client: docker.DockerClient, name: str, image: str) -> Container:
    """A new container, not started, with the lab's keys and its authority in it."""
    taken = {port for container in _containers(client) for port in _published(container, None)}
    ssh, door = _free(SSH_PORTS, taken), _free(DOOR_PORTS, taken)
    settings = client.api.create_host_config(
        port_bindings={22: (ADDRESS, ssh), DOOR: (ADDRESS, door)},
        # systemd and a nested engine need the capabilities, the cgroup tree and a writable /proc/sys. --privileged
        # would give more, and cannot be had where SYS_RESOURCE cannot.
        cap_add=["ALL"],
        cap_drop=["SYS_RESOURCE"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        cgroupns="host",
        # Files as disks: a loop device, made with mknod by whoever wants one.
        device_cgroup_rules=["b 7:* rwm", "c 10:237 rwm"],
        tmpfs={"/run": "", "/run/lock": "", "/tmp": "exec"},  # noqa: S108
        binds=["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
        # `reboot` and `poweroff` inside end the container with a status that is not 0, and the engine boots it again.
        restart_policy={"Name": "on-failure"},
    )
    # What the command line calls --security-opt systempaths=unconfined.
    settings.update(MaskedPaths=[], ReadonlyPaths=[])
    made = client.api.create_container(
        image,
        name=f"ctl-lab-{name}",
        hostname=name,
        labels={build.LABEL: "host", "ctl.lab.name": name, "ctl.lab.image": image},
        ports=[22, DOOR],
        environment={"container": "docker", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1"},
        # Overlay on overlay does not work: the nested engine needs a real file system for its storage.
        volumes=["/var/lib/docker", "/var/lib/containerd"],
        host_config=settings,
        networking_config={"EndpointsConfig": {NETWORK: client.api.create_endpoint_config(aliases=[name])}},
    )
    container = client.containers.get(made["Id"])
    container.put_archive("/", archive(_files()))
    return container


def _files() -> Iterable[File]:
    _, public = keys.login()
    yield File("root/.ssh/authorized_keys", public, 0o600)
    yield File(f"home/{USER}/.ssh/authorized_keys", public, 0o600, uid=1000)
    yield File("usr/local/share/ca-certificates/ctl-lab.crt", keys.authority().pem)
    yield File("etc/ctl-lab/accepts", "".join(f"{key}={value}\n" for key, value in SECRETS.items()).encode())


def _boot(container: Container, *, say: Callable[[str], None]) -> None:
    """Start the container and wait until one can log in. Writes its keys into its known_hosts file."""
    began = monotonic()
    container.start()
    container.reload()
    _until(
        container,
        "systemd",
        lambda: _booted(container),
    )
    _run(container, "update-ca-certificates")
    port = _published(container, "22/tcp")[0]
    _until(container, "sshd", lambda: _greets(port))
    public = _run(container, "sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub").splitlines()
    lines = [f"[{ADDRESS}]:{port} {' '.join(line.split()[:2])}\n" for line in public]
    _known_hosts(container.labels["ctl.lab.name"]).write_text("".join(lines))
    say(f"the host {container.labels['ctl.lab.name']} is up after {monotonic() - began:.0f} s")


def _until(container: Container, what: str, done: Callable[[], bool]) -> None:
    deadline = monotonic() + BOOT_SECONDS
    while True:
        try:
            if done():
                return
        except APIError as error:
            # For a moment after the start there is nothing to run a command in.
            if monotonic() > deadline:
                raise CtlError(f"{what} did not come up in {container.name}: {error.explanation}") from error
        if monotonic() > deadline:
            raise CtlError(f"{what} did not come up in {container.name}", hint=f"docker logs {container.name}")
        sleep(0.3)


def _run(container: Container, *command: str) -> str:
    output = container.exec_run(list(command), stderr=False).output
    return output.decode(errors="replace").strip() if isinstance(output, bytes) else ""


def _booted(container: Container) -> bool:
    return _run(container, "systemctl", "is-system-running", "--wait") in {"running", "degraded"}


def _greets(port: int) -> bool:
    try:
        with socket.create_connection((ADDRESS, port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _published(container: Container, inner: str | None) -> list[int]:
    """The ports on `ADDRESS` that lead to the port `inner` ('22/tcp') of the host; to any with None."""
    bindings: dict[str, list[dict[str, str]]] = container.attrs["HostConfig"]["PortBindings"] or {}
    return [int(one["HostPort"]) for port, all_of in bindings.items() if inner in (None, port) for one in all_of]


def _free(ports: range, taken: set[int]) -> int:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port not in taken and probe.connect_ex((ADDRESS, port)) != 0:
                return port
    raise CtlError(f"no free port from {ports.start} to {ports.stop - 1}")


def _host(container: Container) -> LabHost:
    name = container.labels["ctl.lab.name"]
    networks: dict[str, Any] = container.attrs["NetworkSettings"]["Networks"]
    return LabHost(
        name=name,
        address=ADDRESS,
        port=_published(container, "22/tcp")[0],
        user=USER,
        key=keys.login()[0],
        known_hosts=_known_hosts(name),
        container=str(container.name),
        ip=networks.get(NETWORK, {}).get("IPAddress", ""),
        running=container.status == "running",
        doors=tuple(_published(container, f"{DOOR}/tcp")),
    )


def _known_hosts(name: str) -> Path:
    return state() / f"{name}.known_hosts"


def _remove(container: Container) -> None:
    try:
        container.remove(force=True, v=True)
    except NotFound:
        pass
    _known_hosts(container.labels["ctl.lab.name"]).unlink(missing_ok=True)
