"""The host's own firewall, where there is no security group: WireGuard on a tailnet, and who comes in by SSH."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
import yaml
from lab_project import Project
from lab_server import Server

from ctl.lab import build, ground, recipes
from ctl.lab import machine as lab_machine
from ctl.lab.machine import alone
from ctl.lab.machine import engine as machines
from ctl.lab.servers import NETWORK

VARS = {"docker_source": "distribution", "domain": "ai.lab-tailnet.ts.net"}
RULES = "nft -s list table inet ctl-ai-platform"


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


@pytest.fixture(scope="module")
def neighbour(engine: None) -> Iterator[Callable[[Server], bool]]:
    """Another machine on the lab's network, and whether it gets an answer from a server's sshd."""
    with machines() as client:
        with alone():
            survey = lab_machine.survey()
            image = build.ensure(client, survey, recipes.load(survey, ground.IMAGE), "debian", say=print)
        other = client.containers.run(image, ["sleep", "3600"], detach=True, network=NETWORK)

        def reaches(server: Server) -> bool:
            trial = f"exec 3<>/dev/tcp/{server.lab.ip}/22 && read -r line <&3 && [[ $line == SSH-* ]]"
            return bool(other.exec_run(["timeout", "10", "bash", "-c", trial]).exit_code == 0)

        try:
            yield reaches
        finally:
            other.remove(force=True)


def test_wireguard_comes_in_and_no_other_udp(firewalled: tuple[Server, Project]) -> None:
    server, _ = firewalled
    assert answer_of_udp(server.lab.ip, 41641) == "let in"
    assert answer_of_udp(server.lab.ip, 41642) == "dropped"


def test_ssh_from_nowhere_near_us_is_refused_and_changes_nothing(firewalled: tuple[Server, Project]) -> None:
    server, project = firewalled
    before = server.sh(RULES)
    write(project, server, ssh_from=["203.0.113.0/24", "2001:db8::/48"])
    said = project.ctl("setup", server.name, "--yes")
    assert said.code == 2, said
    assert "would shut us out: the host sees us come from" in said.error
    assert server.sh(RULES) == before


def test_ssh_from_our_network_lets_us_in_and_not_our_neighbour(
    firewalled: tuple[Server, Project], neighbour: Callable[[Server], bool]
) -> None:
    server, project = firewalled
    assert neighbour(server)
    ours = server.sh('echo "${SSH_CONNECTION%% *}"')
    write(project, server, ssh_from=[f"{ours}/32", "2001:db8::/48"])
    said = project.ctl("setup", server.name, "--yes")
    assert said.code == 0, said
    assert not neighbour(server)
    server.close()
    assert server.sh("echo in") == "in", "a new connection"
    assert answer_of_udp(server.lab.ip, 41641) == "let in"
    assert project.ctl("plan", server.name, "--phase", "1", "--detailed-exitcode").code == 0
