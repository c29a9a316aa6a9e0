"""The state of a deployed host, by testinfra: files, secrets, units, upgrades, and what listens to whom."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from lab_deployed import Deployed
from lab_project import DOOR, ROOT, until
from lab_server import Server

SECRETS = {
    "n8n": {"N8N_ENCRYPTION_KEY"},
    "flowise": {
        "FLOWISE_SECRETKEY",
        "FLOWISE_JWT_AUTH",
        "FLOWISE_JWT_REFRESH",
        "FLOWISE_SESSION",
        "FLOWISE_TOKEN_HASH",
    },
}


def secrets(deployed: Deployed) -> dict[str, str]:
    """Every secret of the host by name."""
    names = [row["name"] for row in deployed.project.ctl("secrets", "list", deployed.name, "--json").data]
    shown = {name: deployed.project.ctl("secrets", "show", deployed.name, name) for name in names}
    return {name: said.stdout.strip() for name, said in shown.items()}


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SECRETS)
def test_service_has_its_own_secrets_only(deployed: Deployed, service: str) -> None:
    env = deployed.server.inside.file(f"{ROOT}/stacks/{service}/.env")
    assert (env.user, env.group, env.mode) == ("root", "root", 0o600)
    assert {line.partition("=")[0] for line in env.content_string.splitlines()} == SECRETS[service]


def test_nobody_can_read_a_secret(deployed: Deployed) -> None:
    """Neither from a file, nor from the name of a process; and the program never said one."""
    server = deployed.server
    said = f"{deployed.deploy}{deployed.script}"
    values = secrets(deployed)
    assert {name for owned in SECRETS.values() for name in owned} < set(values)
    for value in values.values():
        assert len(value) >= 16
        assert value not in said
    patterns = "\n".join(values.values())
    server.sh(f"install -m 0644 /dev/stdin /run/lab-test-patterns <<'EOF'\n{patterns}\nEOF")
    try:
        look = "grep -rIlFf /run/lab-test-patterns --exclude-dir=ctl-lab /opt /etc /var/log /home 2>/dev/null || true"
        assert server.sh(f"runuser -u nobody -- sh -c '{look}'") == ""
        assert (
            server.sh(
                "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -cFf /run/lab-test-patterns || true"
            )
            == "0"
        )
        assert (
            server.sh(f"grep -lFf /run/lab-test-patterns {ROOT}/.ctl/runs/*/log {ROOT}/.ctl/runs/*/script || true")
            == ""
        )
        assert server.sh("journalctl -q --no-pager | grep -cFf /run/lab-test-patterns || true") == "0"
    finally:
        server.sh("rm /run/lab-test-patterns")


def test_memory_of_runs_is_closed(deployed: Deployed) -> None:
    folder = deployed.server.inside.file(f"{ROOT}/.ctl")
    assert (folder.user, folder.mode) == ("root", 0o700)
    caddyfile = deployed.server.inside.file(f"{ROOT}/proxy/conf/Caddyfile")
    assert (caddyfile.user, caddyfile.mode) == ("root", 0o600), "it holds the hash of the password"
    assert deployed.server.sh(f"find {ROOT} -name '*.ctl-new'") == ""


# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["n8n.service", "flowise.service", "caddy.service", "ngrok.service", ".target"])
def test_unit(deployed: Deployed, unit: str) -> None:
    name = f"lean-llm{unit}" if unit.startswith(".") else f"lean-llm-{unit}"
    assert deployed.server.sh(f"systemctl is-enabled {name}; systemctl is-active {name}") == "enabled\nactive"
    assert deployed.server.sh(f"systemctl show -p NeedDaemonReload --value {name}") == "no"
    judged = deployed.server.inside.run(f"systemd-analyze verify /etc/systemd/system/{name}")
    assert (judged.rc, judged.stderr) == (0, "")


def test_containers_run_as_declared(deployed: Deployed) -> None:
    server = deployed.server
    for name, container in server.containers().items():
        found = server.inside.docker(container.id)
        assert found.is_running
        settings = found.inspect()["HostConfig"]
        assert settings["Memory"] > 0, name
        assert settings["RestartPolicy"]["Name"] == "unless-stopped", name
        assert "no-new-privileges:true" in settings["SecurityOpt"], name
        assert bool(settings["PortBindings"]) == (name == "caddy")


def test_unattended_upgrades(deployed: Deployed) -> None:
    server = deployed.server
    assert server.inside.package("unattended-upgrades").is_installed
    settings = server.sh("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in settings
    assert 'APT::Periodic::Update-Package-Lists "1";' in settings
    assert server.inside.service("apt-daily-upgrade.timer").is_enabled
    assert server.inside.service("apt-daily-upgrade.timer").is_running
    origins = [line for line in settings.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern:: ")]
    assert origins
    assert all("ecurity" in origin for origin in origins), "security upgrades, and no others"


# --- who may come in --------------------------------------------------------------------------------------------------


def test_loopback_only(deployed: Deployed) -> None:
    """What is not meant for the world listens where the world does not come."""
    server = deployed.server
    for port in (8080, 4040):
        assert not server.inside.socket(f"tcp://0.0.0.0:{port}").is_listening
        assert server.inside.socket(f"tcp://127.0.0.1:{port}").is_listening


@contextlib.contextmanager
def listening(server: Server, port: int, published: int) -> Iterator[None]:
    """A program that listens on all addresses, and a container that publishes a port: what a firewall is for."""
    listen = "use IO::Socket::INET; @s = IO::Socket::INET->new(LocalAddr => shift, Listen => 9) or die; sleep 300"
    image = server.sh("docker inspect -f '{{.Config.Image}}' " + server.containers()["caddy"].id)
    server.sh(f"systemd-run -q --unit=lab-test-listener perl -e '{listen}' 0.0.0.0:{port}")
    server.sh(f"docker run -d --name lab-test-published -p {published}:80 {image} caddy respond --listen :80 here")
    try:
        yield
    finally:
        server.sh("systemctl stop lab-test-listener; docker rm -f lab-test-published")


def test_firewall(deployed: Deployed) -> None:
    """From another machine only SSH and the proxy's door answer, whatever listens on the host."""
    server = deployed.server
    with listening(server, 9101, 9102):
        until("the listener", lambda: server.inside.socket("tcp://0.0.0.0:9101").is_listening, seconds=10)
        page = "curl -s --max-time 2 http://127.0.0.1:9102/ || true"
        until("the published container", lambda: "here" in server.sh(page), seconds=20)
        addresses = server.sh("ss -Htln | awk '{ print $4 }'").splitlines()
        heard = {int(address.rpartition(":")[2]) for address in addresses}
        assert {22, DOOR, 9101, 9102} <= heard
        assert server.answering({*heard, *range(1, 1025), 2019, 2375, 3000, 4040, 4041, 5678, 8080, 8081}) == {22, DOOR}


def test_firewall_lets_the_stack_out(deployed: Deployed) -> None:
    """Names resolve and the lab's registry answers, from the host and from a container."""
    server = deployed.server
    assert server.sh("curl -s -o /dev/null -w '%{http_code}' https://registry-1.docker.io/v2/") == "200"
    container = server.containers()["n8n"].id
    said = server.inside.run(
        f"docker exec {container} wget -qO- --no-check-certificate https://registry-1.docker.io/v2/"
    )
    assert said.rc == 0, said.stderr
