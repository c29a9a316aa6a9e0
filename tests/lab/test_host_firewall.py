"""The host's own firewall, where there is no security group: WireGuard on a tailnet, and who comes in by SSH."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from lab_project import Project
from lab_server import Server

VARS = {"docker_source": "distribution", "domain": "ai.lab-tailnet.ts.net"}
NEIGHBOUR = "ctl-lab.registry"
"""Another machine on the lab's network."""


def write(project: Project, server: Server, **more: object) -> None:
    entry = {"stack": "ai-platform", "vars": {**VARS, **more}}
    project.inventory.write_text(yaml.safe_dump({"hosts": {server.name: entry}}))


@pytest.fixture(scope="module")
def firewalled(bare: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Project]]:
    project = Project(tmp_path_factory.mktemp("project"))
    write(project, bare)
    said = project.ctl("setup", bare.name, "--yes")
    assert said.code == 0, said
    yield bare, project


def answer_of_udp(address: str, port: int) -> str:
    """A packet that is let in finds nobody there, and the host says so; one that is dropped gets no answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
        talk.settimeout(5)
        talk.connect((address, port))
        talk.send(b"anybody?")
        try:
            talk.recv(1)
        except ConnectionRefusedError:
            return "let in"
        except TimeoutError:
            return "dropped"
        return "answered"


def reaches_ssh(server: Server) -> bool:
    """Whether the neighbour does."""
    trial = f"exec 3<>/dev/tcp/{server.lab.ip}/22 && read -r line <&3 && case $line in SSH-*) ;; *) exit 1 ;; esac"
    command = ["docker", "exec", NEIGHBOUR, "timeout", "10", "bash", "-c", trial]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_wireguard_comes_in_and_no_other_udp(firewalled: tuple[Server, Project]) -> None:
    server, _ = firewalled
    assert answer_of_udp(server.lab.ip, 41641) == "let in"
    assert answer_of_udp(server.lab.ip, 41642) == "dropped"


def test_ssh_from_nowhere_near_us_is_refused_and_changes_nothing(firewalled: tuple[Server, Project]) -> None:
    server, project = firewalled
    before = server.sh("nft list ruleset")
    write(project, server, ssh_from=["203.0.113.0/24", "2001:db8::/48"])
    said = project.ctl("setup", server.name, "--yes")
    assert said.code == 2, said
    assert "would shut us out: the host sees us come from" in said.error
    assert server.sh("nft list ruleset") == before


def test_ssh_from_our_network_lets_us_in_and_not_our_neighbour(firewalled: tuple[Server, Project]) -> None:
    server, project = firewalled
    assert reaches_ssh(server)
    ours = server.sh('echo "${SSH_CONNECTION%% *}"')
    write(project, server, ssh_from=[f"{ours}/32", "2001:db8::/48"])
    said = project.ctl("setup", server.name, "--yes")
    assert said.code == 0, said
    assert not reaches_ssh(server)
    server.close()
    assert server.sh("echo in") == "in", "a new connection"
    assert answer_of_udp(server.lab.ip, 41641) == "let in"
    assert project.ctl("plan", server.name, "--phase", "1", "--detailed-exitcode").code == 0
