"""What a host of others' has no room for is refused by the deploy itself, in time: the host is left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from lab_project import Project
from lab_server import Server


def write(project: Project, name: str, **changes: Any) -> None:
    variables = {"docker_source": "distribution", "access": "public", "address": "0.0.0.0", "domain": "ai.example.com"}
    entry = {"stack": "ai-platform", "root": "/home/admin/ai-platform", "vars": variables, **changes}
    project.inventory.write_text(yaml.safe_dump({"hosts": {name: entry}}))


@contextmanager
def untouched(server: Server) -> Iterator[None]:
    """Nothing on the host is made or changed meanwhile."""
    # The first sudo of a user leaves a mark of its own.
    server.sh("su admin -c 'sudo true'; touch /run/before")
    yield
    assert server.sh("find /etc /home /opt /root /srv /usr -newer /run/before ! -type d") == ""
    assert not server.inside.exists("docker")


def test_a_port_that_is_taken(bare: Server, project: Project) -> None:
    write(project, bare.name)
    bare.sh("/usr/sbin/sshd -p 8445 -o PidFile=/run/other.pid")
    try:
        with untouched(bare):
            said = project.ctl("deploy", bare.name, "--yes")
    finally:
        bare.sh("kill $(cat /run/other.pid)")
    assert said.code == 1, said
    assert said.error == (
        "error: 0.0.0.0:8445 is wanted, and sshd listens there\n"
        "hint:  stop it, or give the stack another port or address\n"
    )


def test_a_subnet_that_is_taken(bare: Server, project: Project) -> None:
    write(project, bare.name)
    bare.sh("ip route add 172.20.9.0/24 dev eth0")
    try:
        with untouched(bare):
            said = project.ctl("deploy", bare.name, "--yes")
    finally:
        bare.sh("ip route del 172.20.9.0/24 dev eth0")
    assert said.code == 1, said
    assert said.error == (
        "error: 172.20.0.0/16 is wanted, and the route over eth0 has 172.20.9.0/24\n"
        "hint:  give the stack another one: network.subnet in its stack.yaml\n"
    )


def test_less_memory_than_the_services_declare(bare: Server, project: Project) -> None:
    write(project, bare.name)
    project.override("services/anythingllm/compose.yaml.j2", "requires: {memory: 1G", "requires: {memory: 900G")
    with untouched(bare):
        said = project.ctl("deploy", bare.name, "--yes")
    assert said.code == 1, said
    there = int(bare.sh("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) // 1024
    first, hint = said.error.splitlines()
    assert first.startswith("error: the stack declares 9")
    assert first.endswith(f" MB of memory, the host has {there} MB")
    assert hint == ("hint:  take a larger host, or leave out anythingllm: `without: [anythingllm]` in the inventory")
    write(project, bare.name, without=["anythingllm"])
    assert project.ctl("plan", bare.name).code == 0
