"""The stack belongs to systemd: it comes back after a reboot, and goes and comes with its target."""

from __future__ import annotations

from lab_deployed import Deployed
from lab_project import until

BOOT = "systemctl show -p UserspaceTimestampMonotonic"


def test_target_stops_and_starts_everything(live: Deployed) -> None:
    server = live.server
    before = server.containers()
    server.sh("systemctl stop lean-llm.target")
    stopped = "all containers to stop"
    until(stopped, lambda: {one.state for one in server.containers().values()} == {"exited"}, seconds=90)
    until("the tunnel to stop", lambda: server.sh("systemctl is-active lean-llm-ngrok || true") == "inactive")
    assert not live.status()["healthy"]

    server.sh("systemctl start lean-llm.target")
    until("the stack to be healthy", lambda: live.status()["healthy"], seconds=90)
    assert {name: one.id for name, one in server.containers().items()} == {name: one.id for name, one in before.items()}
    until("the tunnel", lambda: live.plan()["empty"], seconds=30)
    assert server.https("n8n.localhost", login=live.login).status == 200


def test_reboot(live: Deployed) -> None:
    server = live.server
    before, boot = server.containers(), server.sh(BOOT)
    server.reboot()

    until("the stack to be healthy", lambda: live.status()["healthy"], seconds=120, every=1)
    assert server.sh(BOOT) != boot
    after = server.containers()
    assert {name: one.id for name, one in after.items()} == {name: one.id for name, one in before.items()}
    assert all(after[name].started != before[name].started for name in before)

    until("the units", lambda: server.sh("systemctl is-active lean-llm.target") == "active", seconds=30)
    for name in ("n8n", "flowise", "caddy", "ngrok"):
        unit = f"lean-llm-{name}.service"
        until(unit, lambda unit=unit: server.sh(f"systemctl is-active {unit} || true") == "active", seconds=60)
    until("nothing to do", lambda: live.plan()["empty"], seconds=30)
    assert server.https("flowise.localhost", "/api/v1/ping", login=live.login).status == 200
    assert server.ngrok(login=live.login).status == 200
    assert live.bring().data["result"] == "unchanged"
