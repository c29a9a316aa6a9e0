"""What someone changes on the host by hand is told apart from what is wanted, and the next deploy mends it."""

from __future__ import annotations

import pytest
from lab_deployed import Deployed, names
from lab_project import ROOT

CADDYFILE = f"{ROOT}/proxy/conf/Caddyfile"
COMPOSE = f"{ROOT}/stacks/flowise/compose.yaml"
UNIT = "/etc/systemd/system/lean-llm-n8n.service"
ENV = f"{ROOT}/stacks/n8n/.env"


@pytest.mark.parametrize(
    ("path", "by_hand", "also"),
    [
        (CADDYFILE, "sed -i '1a # by hand' {}", ["3-configure/20-reload@caddy"]),
        (COMPOSE, "sed -i '1a # by hand' {}", []),
        (UNIT, "sed -i 's/^RestartSec=.*/RestartSec=99/' {} && systemctl daemon-reload", ["3-configure/10-units"]),
        (ENV, "chmod 0644 {}", []),
        (COMPOSE, "chown nobody {}", []),
        (COMPOSE, "rm {}", []),
    ],
    ids=["Caddyfile", "compose.yaml", "unit", "mode", "owner", "removed"],
)
def test_file_changed_by_hand(live: Deployed, path: str, by_hand: str, also: list[str]) -> None:
    server = live.server
    content, containers = server.read(path), server.containers()
    kept = server.sh(f"stat -c '%a %U:%G' {path}")
    server.sh(by_hand.format(path))

    plan = live.plan()
    assert names(plan) == [path, *also]
    assert plan["changes"][0]["drift"] is True
    assert names(live.status())[0] == path
    shown = live.project.ctl("status", live.name)
    assert shown.code == 0, shown
    assert path in shown.stdout
    assert "drift" in shown.stdout

    live.bring()
    assert server.read(path) == content
    assert server.sh(f"stat -c '%a %U:%G' {path}") == kept
    assert server.containers() == containers
    assert server.sh("systemctl show -p NeedDaemonReload --value lean-llm-n8n") == "no"
    assert live.plan()["empty"]
    assert live.status()["healthy"]


def test_diff_shows_what_was_done_by_hand(live: Deployed) -> None:
    live.server.sh(f"sed -i '1a # by hand' {COMPOSE}")
    shown = live.get("plan", live.name).stdout
    assert any(line.strip().startswith("-# by hand") for line in shown.splitlines()), shown
    live.server.sh(f"sed -i '1a BY_HAND=1' {ENV}")
    assert "BY_HAND" not in live.get("plan", live.name).stdout, "a file of secrets is not shown"


@pytest.mark.parametrize(
    ("by_hand", "state", "same"),
    [("docker stop -t 5", "exited", True), ("docker rm -f", "missing", False), ("docker pause", "paused", False)],
)
def test_container_changed_by_hand(
    live: Deployed, request: pytest.FixtureRequest, by_hand: str, state: str, same: bool
) -> None:
    server = live.server
    before = server.containers()
    server.sh(f"{by_hand} {before['flowise'].id}")
    if state == "paused":
        # A host cannot be removed while something on it is frozen.
        request.addfinalizer(lambda: server.inside.run(f"docker unpause {before['flowise'].id}"))

    assert names(live.plan()) == ["flowise"]
    status = live.status()
    assert (status["healthy"], names(status)) == (False, ["flowise"])
    services = {service["name"]: service for service in status["services"]}
    assert {name: service["healthy"] for name, service in services.items()} == {
        "n8n": True,
        "flowise": False,
        "caddy": True,
    }
    assert services["flowise"]["containers"][0]["state"] == state

    live.bring()
    after = server.containers()
    assert after["flowise"].state == "running"
    assert (after["flowise"].id == before["flowise"].id) is same
    assert {name: after[name] for name in ("n8n", "caddy")} == {name: before[name] for name in ("n8n", "caddy")}
    assert live.status()["healthy"]
    assert live.plan()["empty"]


def test_tunnel_stopped_by_hand(live: Deployed) -> None:
    live.server.sh("systemctl stop lean-llm-ngrok")
    assert names(live.plan()) == ["3-configure/30-tunnel@ngrok"]
    assert names(live.status()) == ["3-configure/30-tunnel@ngrok"]
    live.bring()
    assert live.server.ngrok(login=live.login).status == 200
