"""Deploying again: nothing to do costs one look, and one changed setting touches one container."""

from __future__ import annotations

import json
import re

from lab_deployed import Deployed, names
from lab_project import ROOT

N8N = f"{ROOT}/stacks/n8n/compose.yaml"


def test_nothing_to_do(live: Deployed) -> None:
    """As the host saw it: one connection, at most two sessions, one thing run as root, and no trace of a run."""
    server = live.server
    containers, runs = server.containers(), server.runs()
    state = server.sh(f"find {ROOT} /etc -newer {ROOT}/.ctl/current -type f ! -path '*/logs/*' | sort")
    with server.logged() as log:
        said = live.project.ctl("deploy", live.name, "--yes", "--json")
    assert said.code == 0, said
    assert (said.data["result"], said.data["empty"], said.data["changes"]) == ("unchanged", True, [])

    assert len([line for line in log if line.startswith("Accepted publickey for ")]) == 1, log
    assert 1 <= len([line for line in log if line.startswith("Starting session: ")]) <= 2, log
    assert len([line for line in log if "COMMAND=" in line]) == 1, log

    assert server.containers() == containers
    assert server.runs() == runs
    assert server.sh(f"find {ROOT} /etc -newer {ROOT}/.ctl/current -type f ! -path '*/logs/*' | sort") == state


def test_nothing_to_do_in_words(live: Deployed) -> None:
    assert "nothing to do" in live.get("plan", live.name).stdout
    assert "nothing to do" in live.get("deploy", live.name, "--yes").stderr
    assert "healthy" in live.get("status", live.name).stdout


def test_one_setting_changes_one_container(live: Deployed) -> None:
    server = live.server
    before = server.containers()
    live.project.write(live.name, vars={"timezone": "Europe/Berlin"})

    assert names(live.plan()) == [N8N, "n8n"]
    shown = live.get("plan", live.name).stdout
    assert re.search(r"^ *- .*TZ: .*Etc/UTC", shown, re.MULTILINE), shown
    assert re.search(r"^ *\+ .*TZ: .*Europe/Berlin", shown, re.MULTILINE), shown
    assert server.containers() == before, "a plan changes nothing"
    script = live.get("plan", live.name, "--script").stdout

    said = live.bring()
    assert server.read(f"{ROOT}/.ctl/runs/{said.data['run']}/script") == script.encode()
    after = server.containers()
    assert after["n8n"].id != before["n8n"].id
    assert {name: after[name] for name in ("caddy", "flowise")} == {name: before[name] for name in ("caddy", "flowise")}
    environment = json.loads(server.sh(f"docker inspect -f '{{{{json .Config.Env}}}}' {after['n8n'].id}"))
    assert {"TZ=Europe/Berlin", "GENERIC_TIMEZONE=Europe/Berlin"} <= set(environment)
    assert "Europe/Berlin" in server.https("n8n.localhost", login=live.login).body
    assert live.plan()["empty"]


def test_set_on_the_command_line_comes_first(live: Deployed) -> None:
    said = live.project.ctl("plan", live.name, "--json", "--set", "timezone=Asia/Tokyo")
    assert names(said.data) == [N8N, "n8n"]


def test_opened_path_reloads_the_proxy_alone(live: Deployed) -> None:
    """The proxy takes up its new configuration without a restart, and the door for webhooks is open."""
    server = live.server
    before = server.containers()
    live.project.write(live.name, vars={"open_paths": {"n8n": ["/webhook/*"]}})
    assert names(live.plan()) == [f"{ROOT}/proxy/conf/Caddyfile", "3-configure/20-reload@caddy"]
    live.bring()
    assert server.containers() == before
    assert server.https("n8n.localhost", "/webhook/orders").status == 200
    assert server.https("n8n.localhost", "/webhook").status == 401
    assert server.https("n8n.localhost", "/webhook/../").status == 401
    assert server.https("flowise.localhost", "/webhook/orders").status == 401
    assert server.ngrok("/webhook/orders").status == 200
