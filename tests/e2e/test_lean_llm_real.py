"""lean-llm with the real n8n and Flowise: pages, accounts, webhooks and streams through the doors, and what stays."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from lab_deployed import Deployed
from lab_project import DOMAIN, until
from visitor import Visitor, handshake

OWNER = {"email": "owner@example.com", "firstName": "Olga", "lastName": "Owner", "password": "Correct-horse-9"}
BUILDER = {"name": "Bert", "email": "builder@example.com", "credential": "Correct-horse-9"}
# A flow that needs no model: what comes in is answered with a word.
REPLY = "a reply out of the flow"


def log_in(n8n: Visitor) -> None:
    """Make the owner of a fresh n8n, or log in as the one there is."""
    n8n.cookies.clear()
    if n8n.ask("/rest/settings").json["data"]["userManagement"]["showSetupOnFirstLoad"]:
        assert n8n.ask("/rest/owner/setup", OWNER).json["data"]["isOwner"]
    else:
        login = {"emailOrLdapLoginId": OWNER["email"], "password": OWNER["password"]}
        assert n8n.ask("/rest/login", login).json["data"]["isOwner"]
    assert "n8n-auth" in n8n.cookies


def sign_in(flowise: Visitor) -> None:
    """Register the first account of a fresh Flowise, or sign in with it."""
    flowise.cookies.clear()
    login = {"email": BUILDER["email"], "password": BUILDER["credential"]}
    reply = flowise.ask("/api/v1/auth/login", login)
    if reply.status != 200:
        assert flowise.ask("/api/v1/account/register", {"user": {**BUILDER, "type": "pro"}}).status == 201
        reply = flowise.ask("/api/v1/auth/login", login)
    assert reply.json["email"] == BUILDER["email"]


def workflow(path: str) -> dict[str, Any]:
    """A webhook that answers with the time zone in which n8n reckons."""
    zone = {"id": "zone", "name": "zone", "type": "string", "value": "={{ $now.zoneName }}"}
    hook = {"path": path, "httpMethod": "GET", "responseMode": "lastNode", "options": {}}
    return {
        "name": path,
        "nodes": [
            {
                "id": "hook",
                "name": "Hook",
                "type": "n8n-nodes-base.webhook",
                "typeVersion": 2,
                "position": [0, 0],
                "webhookId": f"hook-{path}",
                "parameters": hook,
            },
            {
                "id": "set",
                "name": "Set",
                "type": "n8n-nodes-base.set",
                "typeVersion": 3.4,
                "position": [200, 0],
                "parameters": {"assignments": {"assignments": [zone]}, "options": {}},
            },
        ],
        "connections": {"Hook": {"main": [[{"node": "Set", "type": "main", "index": 0}]]}},
        "settings": {"executionOrder": "v1"},
    }


def flow() -> dict[str, Any]:
    """A flow of two nodes: whatever is asked, it replies the same."""

    def node(name: str, kind: str, inputs: dict[str, Any], outputs: list[dict[str, str]]) -> dict[str, Any]:
        data = {"id": f"{name}_0", "label": kind, "name": name, "version": 1, "type": kind, "inputs": inputs}
        rest = {"category": "Agent Flows", "inputParams": [], "inputAnchors": [], "outputAnchors": outputs}
        position = {"x": 0, "y": 0}
        return {"id": f"{name}_0", "type": "agentFlow", "position": position, "data": {**data, **rest, "outputs": {}}}

    out = "startAgentflow_0-output-startAgentflow"
    start = node("startAgentflow", "Start", {"startInputType": "chatInput"}, [{"id": out, "name": "startAgentflow"}])
    reply = node("directReplyAgentflow", "DirectReply", {"directReplyMessage": REPLY}, [])
    edge = {"id": "edge", "type": "agentFlow", "data": {}, "source": start["id"], "sourceHandle": out}
    edges = [{**edge, "target": reply["id"], "targetHandle": reply["id"]}]
    drawn = json.dumps({"nodes": [start, reply], "edges": edges})
    return {"name": "reply", "type": "AGENTFLOW", "deployed": True, "isPublic": True, "flowData": drawn}


def assets(page: str) -> list[str]:
    """The scripts and styles of its own that a page loads."""
    return re.findall(r'(?:src|href)="(/[^"/][^"]*\.(?:js|css))"', page)


# --- n8n --------------------------------------------------------------------------------------------------------------


def test_both_are_healthy_and_real(real: Deployed, n8n: Visitor, flowise: Visitor) -> None:
    status = real.status()
    assert {one["name"]: one["healthy"] for one in status["services"]} == {"n8n": True, "flowise": True, "caddy": True}
    assert n8n.ask("/healthz/readiness").json == {"status": "ok"}
    assert flowise.ask("/api/v1/ping").text == "pong"
    for visitor in (n8n, flowise):
        assert "stand-in" not in visitor.ask("/").text
        assert "X-Ctl-Lab" not in visitor.ask("/").headers


@pytest.mark.parametrize("name", ["n8n", "flowise"])
def test_page_and_what_it_loads(request: pytest.FixtureRequest, name: str) -> None:
    visitor: Visitor = request.getfixturevalue(name)
    assert visitor.ask("/", password=False).status == 401
    page = visitor.ask("/")
    assert page.status == 200
    assert {"n8n": "n8n.io - Workflow Automation", "flowise": "Flowise - Build AI Agents"}[name] in page.text
    loaded = assets(page.text)
    assert any(path.startswith("/assets/index-") for path in loaded), page.text
    for path in loaded:
        got = visitor.ask(path)
        assert (got.status, bool(got.body)) == (200, True), path
        assert re.search("javascript|css", got.headers["Content-Type"]), path
        assert visitor.ask(path, password=False).status == 401, path


def test_owner_is_set_up_and_stays_logged_in(n8n: Visitor) -> None:
    log_in(n8n)
    assert n8n.ask("/rest/login").json["data"]["email"] == OWNER["email"]
    cookie, n8n.cookies = n8n.cookies, {}
    assert n8n.ask("/rest/workflows").status == 401, "the password of the door is not one of n8n's"
    n8n.cookies = cookie


def test_n8n_knows_its_address(n8n: Visitor) -> None:
    log_in(n8n)
    settings = n8n.ask("/rest/settings").json["data"]
    assert settings["urlBaseWebhook"] == settings["urlBaseEditor"] + "/" == f"https://{DOMAIN}/"
    assert settings["pushBackend"] == "websocket"


def test_webhook_without_the_password(real: Deployed, n8n: Visitor) -> None:
    log_in(n8n)
    made = n8n.ask("/rest/workflows", workflow("zone")).json["data"]
    active = n8n.ask(f"/rest/workflows/{made['id']}/activate", {"versionId": made["versionId"]})
    assert active.json["data"]["active"] is True
    heard = until("the webhook", lambda: (r := n8n.ask("/webhook/zone", password=False)).status == 200 and r)
    assert heard.json == {"zone": "Etc/UTC"}
    through = real.server.ngrok("/webhook/zone")
    assert (through.status, json.loads(through.body)) == (200, {"zone": "Etc/UTC"})
    unknown = n8n.ask("/webhook/other", password=False)
    assert (unknown.status, "not registered" in unknown.text) == (404, True), "n8n itself says so"
    assert n8n.ask("/webhook-test/zone", password=False).status == 401


def test_push_channel(real: Deployed, n8n: Visitor) -> None:
    """The editor's WebSocket, through Caddy alone and through the tunnel's edge before it."""
    log_in(n8n)
    assert n8n.ask("/rest/push?pushRef=one", headers=handshake(n8n.origin)).status == 101
    assert n8n.ask("/rest/push?pushRef=one", headers=handshake(n8n.origin), password=False).status == 401
    headers = {**handshake(f"https://{DOMAIN}"), "Host": DOMAIN, "browser-id": "a-test", "Cookie": n8n.cookie}
    words = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    url = "http://127.0.0.1:4041/rest/push?pushRef=two"
    # The connection stays open; curl gives up after a while and has shown the answer's head by then.
    curl = ["curl", "-s", "-i", "-N", "--http1.1", "--max-time", "5", "-u", real.login, *words, url]
    shown = real.server.inside.run(shlex.join(curl) + " | head -c 300 | tr -d '\\0'").stdout
    assert shown.startswith("HTTP/1.1 101 "), shown


# --- Flowise ----------------------------------------------------------------------------------------------------------


def test_first_account(flowise: Visitor) -> None:
    assert flowise.ask("/api/v1/chatflows").status == 401, "the password of the door is not one of Flowise's"
    sign_in(flowise)
    assert flowise.ask("/api/v1/chatflows").json == []


def test_prediction_streams(flowise: Visitor) -> None:
    """A flow of the user's, asked without the password at the path that the inventory opens."""
    sign_in(flowise)
    made = flowise.ask("/api/v1/chatflows", flow()).json
    asked = {"question": "anything", "streaming": True}
    reply = flowise.ask(f"/api/v1/prediction/{made['id']}", asked, password=False)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
    events = [json.loads(line[5:]) for line in reply.text.splitlines() if line.startswith("data:")]
    assert {"event": "token", "data": REPLY} in events, events
    assert flowise.ask("/api/v1/chatflows", password=False).status == 401


# --- what stays -------------------------------------------------------------------------------------------------------


def test_new_time_zone_keeps_what_n8n_had(real: Deployed, n8n: Visitor) -> None:
    """One setting changed: n8n alone is made anew, reckons in that zone, and still reads what it encrypted before."""
    log_in(n8n)
    secret = {"user": "somebody", "password": "something"}
    kept = n8n.ask("/rest/credentials", {"name": "kept", "type": "httpBasicAuth", "data": secret}).json["data"]
    before = real.server.containers()
    inventory = real.project.inventory.read_text()
    real.project.inventory.write_text(inventory.replace("    vars:\n", "    vars:\n      timezone: Europe/Berlin\n"))
    real.bring()
    after = real.server.containers()
    assert {name for name in after if after[name].id != before[name].id} == {"n8n"}

    log_in(n8n)
    assert n8n.ask("/rest/settings").json["data"]["timezone"] == "Europe/Berlin"
    heard = until("the webhook", lambda: (r := n8n.ask("/webhook/zone", password=False)).status == 200 and r)
    assert heard.json == {"zone": "Europe/Berlin"}
    found = n8n.ask("/rest/credentials?includeData=true").json["data"]
    assert {one["id"]: one["data"]["user"] for one in found} == {kept["id"]: "somebody"}
    assert real.plan()["empty"]


def test_restart_keeps_what_flowise_had(real: Deployed, flowise: Visitor) -> None:
    sign_in(flowise)
    new = {"name": "kept", "credentialName": "openAIApi", "plainDataObj": {"openAIApiKey": "something"}}
    kept = flowise.ask("/api/v1/credentials", new).json["id"]
    container = real.server.containers()["flowise"].id
    real.server.sh(f"docker restart {container}")
    until("Flowise", lambda: flowise.ask("/api/v1/ping").status == 200, seconds=240, every=2)

    assert flowise.ask("/api/v1/chatflows").status == 200, "the session of before is still good"
    sign_in(flowise)
    assert REPLY in flowise.ask("/api/v1/chatflows").text
    # The value itself is blanked, but only after it could be read.
    assert set(flowise.ask(f"/api/v1/credentials/{kept}").json["plainDataObj"]) == {"openAIApiKey"}
    assert real.server.sh(f"docker inspect -f '{{{{.State.OOMKilled}}}}' {container}") == "false"
