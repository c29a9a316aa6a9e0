"""The first deploy, and the doors that it opened: over HTTPS, through ngrok, and for containers of the stack alone."""

from __future__ import annotations

import base64
import json
import re
import ssl
import uuid

import pytest
from lab_deployed import Deployed
from lab_project import DOMAIN, ROOT, until


def test_first_deploy_is_healthy(deployed: Deployed) -> None:
    said = deployed.deploy
    assert (said.code, said.data["result"]) == (0, "changed"), said
    assert {change["type"] for change in said.data["changes"]} == {"file", "step", "container"}
    status = deployed.project.ctl("status", deployed.name, "--json", "--detailed-exitcode")
    assert status.code == 0, status
    assert {service["name"]: service["healthy"] for service in status.data["services"]} == {
        "n8n": True,
        "flowise": True,
        "caddy": True,
    }
    assert (status.data["healthy"], status.data["drift"]) == (True, [])


def test_script_that_was_shown_is_the_one_that_ran(deployed: Deployed) -> None:
    assert deployed.script.code == 0, deployed.script
    ran = deployed.server.read(f"{ROOT}/.ctl/runs/{deployed.deploy.data['run']}/script")
    assert ran == deployed.script.stdout.encode()


# --- https ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "path", "body"), [("n8n", "/", "n8n"), ("flowise", "/api/v1/ping", "pong")])
def test_https_door(deployed: Deployed, name: str, path: str, body: str) -> None:
    door = f"{name}.localhost"
    without = deployed.server.https(door, path)
    assert without.status == 401
    assert body not in without.body
    assert without.headers["Www-Authenticate"].startswith("Basic ")
    user = deployed.login.partition(":")[0]
    for wrong in (f"{user}:wrong", f"someone:{deployed.login.partition(':')[2]}", f"{user}:"):
        assert deployed.server.https(door, path, login=wrong).status == 401
    answer = deployed.server.https(door, path, login=deployed.login)
    assert answer.status == 200
    assert body in answer.body
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert "Server" not in answer.headers or "Caddy" not in answer.headers["Server"]


def test_webhook_needs_the_password_too_unless_opened(deployed: Deployed) -> None:
    assert deployed.server.https("n8n.localhost", "/webhook/orders").status == 401
    answer = deployed.server.https("n8n.localhost", "/webhook/orders", login=deployed.login)
    heard = json.loads(answer.body)
    assert (heard["path"], heard["authorization"]) == ("/webhook/orders", False), "the password goes no further"
    assert heard["headers"]["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("name", ["elsewhere.localhost", "n8n.internal", "localhost"])
def test_unknown_name_is_refused(deployed: Deployed, name: str) -> None:
    with pytest.raises(ssl.SSLError):
        deployed.server.https(name, login=deployed.login)


def test_name_in_the_request_is_not_a_way_around(deployed: Deployed) -> None:
    """A certificate for one name, and another name asked for inside: neither reaches an application unasked."""
    answer = deployed.server.https("n8n.localhost", headers={"Host": "n8n.internal:8081"})
    assert (answer.status, answer.body.strip()) == (404, "no such site")


# --- ngrok ------------------------------------------------------------------------------------------------------------


def test_ngrok_door(deployed: Deployed) -> None:
    server = deployed.server
    assert server.ngrok().status == 401
    assert server.ngrok(login=deployed.login + "x").status == 401
    answer = server.ngrok(login=deployed.login)
    assert answer.status == 200
    assert "n8n" in answer.body
    assert f"https://{DOMAIN}/" in answer.body, "n8n knows the address under which it is reached"
    assert server.ngrok(host="elsewhere.ngrok-free.app", login=deployed.login).status == 404


def test_proxy_behind_ngrok_knows_one_name(deployed: Deployed) -> None:
    for name in ("elsewhere.example.com", "n8n.internal", "n8n.internal:8081", "127.0.0.1:8080"):
        answer = deployed.server.get("http://127.0.0.1:8080/", {"Host": name})
        assert answer.status == 404, name
    assert deployed.server.get("http://127.0.0.1:8080/", {"Host": DOMAIN}).status == 401


def test_ngrok_unit(deployed: Deployed) -> None:
    server = deployed.server
    assert server.sh("systemctl is-active lean-llm-ngrok.service") == "active"
    assert server.inside.service("lean-llm-ngrok").is_enabled
    assert server.sh("ps -o user= -p $(systemctl show -p MainPID --value lean-llm-ngrok)") == "ngrok"
    config = server.inside.file("/etc/ngrok/ngrok.yml")
    assert (config.user, config.group, config.mode) == ("root", "ngrok", 0o640)


# --- inside -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "name", "path"), [("flowise", "n8n", "/healthz"), ("n8n", "flowise", "/api/v1/ping")]
)
def test_internal_door(deployed: Deployed, caller: str, name: str, path: str) -> None:
    """Containers of the stack reach each other without a password; nobody else does."""
    server = deployed.server
    container = server.containers()[caller].id
    said = server.sh(f"docker exec {container} wget -qO- http://{name}.internal:8081{path}")
    assert said in {'{"status":"ok"}', "pong"}
    assert server.answering([8081]) == set()
    done = server.inside.run(f"curl -s --max-time 3 -H 'Host: {name}.internal:8081' http://127.0.0.1:8081{path}")
    assert done.rc != 0


def test_access_log(deployed: Deployed) -> None:
    mark = f"/{uuid.uuid4().hex}"
    deployed.server.https("flowise.localhost", mark, login=deployed.login)
    log = f"{ROOT}/logs/caddy/access.log"
    until("the request in the log", lambda: mark in deployed.server.read(log).decode(), seconds=10)
    text = deployed.server.read(log).decode()
    entries = [json.loads(line) for line in text.splitlines()]
    request = next(entry["request"] for entry in entries if entry["request"]["uri"] == mark)
    assert (request["host"].partition(":")[0], request["method"]) == ("flowise.localhost", "GET")
    assert request["client_ip"] and re.fullmatch(r"[0-9.]+", request["remote_ip"])
    assert deployed.login.partition(":")[2] not in text
    assert base64.b64encode(deployed.login.encode()).decode() not in text
