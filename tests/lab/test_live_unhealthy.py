"""A service that does not become healthy, and one that is left out: the others do not notice."""

from __future__ import annotations

import ssl

import pytest
from lab_deployed import Deployed, names
from lab_project import ROOT

N8N = "services/n8n/compose.yaml.j2"
CHECK = """      test: ["CMD-SHELL", "wget -qO- http://127.0.0.1:5678/healthz/readiness >/dev/null || exit 1"]
      interval: 10s
      timeout: 5s
      retries: 12
      start_period: 60s
"""
LAST_WORDS = "its own last words"
OTHERS = ("caddy", "flowise")
FAILS = """      test: ["CMD-SHELL", "echo its own last words >/proc/1/fd/1; exit 1"]
      interval: 1s
      timeout: 5s
      retries: 3
      start_period: 1s
"""


def test_unhealthy_goes_back(live: Deployed) -> None:
    """The message names the service and what it said; the release before is put back; nobody else notices."""
    server = live.server
    before, release = server.containers(), live.status()["release"]
    live.project.override(N8N, CHECK, FAILS)
    said = live.project.ctl("deploy", live.name, "--yes")
    assert said.code == 6, said
    first = said.error.splitlines()[0]
    assert "n8n" in first
    assert "healthy" in first
    assert "flowise" not in first
    assert LAST_WORDS in said.error, "the last lines of its log are shown"
    assert release in said.error
    after = server.containers()
    assert {name: after[name] for name in OTHERS} == {name: before[name] for name in OTHERS}
    live.project.plain(live.name)
    assert live.plan()["empty"]
    assert (live.status()["healthy"], live.status()["release"]) == (True, release)


def test_unhealthy_is_left_where_that_is_wanted(live: Deployed) -> None:
    server = live.server
    before = server.containers()
    live.project.override(N8N, CHECK, FAILS)
    said = live.project.ctl("deploy", live.name, "--yes", "--no-rollback")
    assert said.code == 6, said
    assert LAST_WORDS in said.error
    after = server.containers()
    assert {name: after[name] for name in OTHERS} == {name: before[name] for name in OTHERS}
    assert after["n8n"].state == "running"
    status = live.status()
    assert [service["name"] for service in status["services"] if not service["healthy"]] == ["n8n"]
    assert server.https("flowise.localhost", "/api/v1/ping", login=live.login).status == 200

    live.project.plain(live.name)
    live.bring()
    assert live.status()["healthy"]


def test_left_out(live: Deployed) -> None:
    """`without: [flowise]`: its container, its files, its unit and its door go; its data stays."""
    server = live.server
    before = server.containers()
    live.project.write(live.name, without=["flowise"])
    changes = names(live.plan())
    assert {"flowise", f"{ROOT}/stacks/flowise/compose.yaml", f"{ROOT}/stacks/flowise/.env"} <= set(changes)
    assert not {"n8n", f"{ROOT}/stacks/n8n/compose.yaml"} & set(changes)

    live.bring()
    after = server.containers()
    assert after["n8n"] == before["n8n"]
    assert set(after) == {"n8n", "caddy"}
    assert server.sh(f"find {ROOT}/stacks/flowise -type f 2>/dev/null || true") == ""
    assert server.sh("find /etc/systemd/system -name '*flowise*'") == ""
    loaded = server.sh("systemctl list-units --all --plain --no-legend '*flowise*'")
    assert loaded == "", loaded
    assert "flowise" in server.sh("docker volume ls -q")
    with pytest.raises(ssl.SSLError):
        server.https("flowise.localhost", login=live.login)
    assert server.https("n8n.localhost", login=live.login).status == 200
    assert live.plan()["empty"]
    assert live.status()["healthy"]

    live.project.write(live.name)
    live.bring()
    assert server.containers()["n8n"] == before["n8n"]
    assert server.https("flowise.localhost", "/api/v1/ping", login=live.login).status == 200
