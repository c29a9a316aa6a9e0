"""The stack enterprise-llm on a host that was bare: its own images are built there; who asks has to be somebody."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from lab_enterprise import ADMIN, NOTICE, Enterprise, Load, deployed
from lab_project import until

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def enterprise(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enterprise]:
    with deployed(tmp_path_factory, "enterprise") as made:
        yield made


def test_it_is_there_and_there_is_nothing_left_to_do(enterprise: Enterprise) -> None:
    plan = enterprise.ctl("plan", "--detailed-exitcode")
    assert plan.code == 0, plan
    assert enterprise.healthy()
    images = enterprise.server.sh("docker ps --format '{{.Image}}' | sort | uniq -c")
    assert images.count("enterprise-llm/") == 3
    assert "3 enterprise-llm/gateway:" in images
    assert "2 enterprise-llm/ui:" in images


def test_from_outside_there_is_ssh_and_the_one_door(enterprise: Enterprise) -> None:
    ports = (22, 80, 443, 5432, 6379, 8000, 8080, 8443, 11434)
    assert enterprise.server.answering(ports) == {22, 8443}


def test_the_page_is_strict(enterprise: Enterprise) -> None:
    page = enterprise.ask("GET", "/")
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy


def test_models_are_reached_through_the_gateway_only(enterprise: Enterprise) -> None:
    probe = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
    assert enterprise.inside("gateway", "python", "-c", probe, "ollama", "11434")[0] == 0
    assert enterprise.inside("auth", "python", "-c", probe, "ollama", "11434")[0] != 0
    address = enterprise.server.sh(
        "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'"
        " $(docker ps -q --filter label=ctl.service=ollama)"
    )
    assert enterprise.inside("auth", "python", "-c", probe, address, "11434")[0] != 0, "not by its address either"
    networks = enterprise.server.sh(
        "docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}'"
        " $(docker ps -q --filter label=ctl.service=ollama)"
    )
    assert networks.split() == ["enterprise-llm-engine"]


def test_somebody_asks_and_the_answer_comes_word_by_word(enterprise: Enterprise) -> None:
    assert enterprise.ask("GET", "/api/sessions").status == 401
    token = enterprise.log_in()
    models = enterprise.ask("GET", "/api/models", token=token).data
    assert (models["default"], models["notice"]) == ("llama3.2:1b", NOTICE)
    events = enterprise.chat(token, "Who are you?")
    kinds = [kind for _, kind, _ in events]
    assert (kinds[0], kinds[-1]) == ("session", "done")
    times = [at for at, kind, _ in events if kind == "token"]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) > 5
    assert sorted(gaps)[len(gaps) // 2] > 0.1, "apart in time, as the model says them"
    said = "".join(data["text"] for _, kind, data in events if kind == "token")
    session = enterprise.ask("GET", f"/api/sessions/{events[0][2]['session']['id']}", token=token).data
    assert [(each["role"], each["content"]) for each in session["messages"]] == [
        ("user", "Who are you?"),
        ("assistant", said),
    ]


def test_a_new_release_of_the_gateway_fails_no_request(enterprise: Enterprise) -> None:
    before = enterprise.server.sh("docker ps -q --filter label=ctl.service=gateway | sort")
    enterprise.write(vars={"model_notice": "Another word."})
    with Load(enterprise) as load:
        deploy = enterprise.ctl("deploy", "--yes")
    assert deploy.code == 0, deploy
    assert not set(before.split()) & set(enterprise.server.sh("docker ps -q").split())
    assert load.failed == []
    assert len(load.answered) > 4


def test_other_keys_fail_no_request(enterprise: Enterprise) -> None:
    old = enterprise.log_in()
    with Load(enterprise) as load:
        assert enterprise.ask("POST", "/auth/keys/rotate", {}, token=old).status == 200
        until("tokens to be signed with the new key", lambda: _kid(enterprise.log_in()) != _kid(old), seconds=90)
        load.go_on(4)
        assert enterprise.ask("GET", "/api/sessions", token=old).status == 200, "the old key is good for its tokens"
    assert load.failed == []
    keys = enterprise.ask("GET", "/.well-known/jwks.json").data["keys"]
    assert {_kid(old), _kid(enterprise.log_in())} <= {key["kid"] for key in keys}


@pytest.mark.parametrize("service", ["gateway", "auth", "redis", "postgres"])
def test_what_is_killed_under_load_comes_back_and_loses_nothing(enterprise: Enterprise, service: str) -> None:
    with Load(enterprise) as load:
        load.go_on(4)
        # Docker would take `docker kill` for somebody's wish.
        enterprise.server.sh(
            f"docker inspect -f '{{{{.State.Pid}}}}' $(docker ps -q --filter label=ctl.service={service} | head -n 1)"
            " | xargs kill -9"
        )
        until(f"{service} to be back", enterprise.healthy, seconds=120, every=2)
        load.go_on(4)
    if service in ("auth", "redis"):
        assert load.failed == [], "who is logged in does not need it to be answered"
    load.check()


def test_a_browser_walks_through_it(enterprise: Enterprise) -> None:
    """From log-in to log-out at three widths. Screenshots: build/ui/shots."""
    door = {"UI_BASE_URL": "https://chat.localhost:8443", "UI_ADDRESS": enterprise.server.lab.ip}
    who = {"UI_EMAIL": ADMIN, "UI_PASSWORD": enterprise.password}
    walk = subprocess.run(
        [TOP / "scripts/test-ui.sh"], env={**os.environ, **door, **who}, capture_output=True, text=True, timeout=600
    )
    assert walk.returncode == 0, walk.stdout[-3000:] + walk.stderr[-3000:]


def _kid(token: str) -> str:
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])
