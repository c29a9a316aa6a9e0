"""The stack cloudtolocalllm on a host that was bare: a session is a container and a network of one person's own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import lab_cloud
import pytest
from lab_cloud import ADMIN, DOMAIN, OTHER, PASSWORD, Cloud, host_of
from lab_project import until


@pytest.fixture(scope="module")
def cloud(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with lab_cloud.deployed(tmp_path_factory) as made:
        yield made


def test_it_is_there_and_there_is_nothing_left_to_do(cloud: Cloud) -> None:
    plan = cloud.ctl("plan", "--detailed-exitcode")
    assert plan.code == 0, plan
    status = cloud.ctl("status", "--json").data
    assert status["healthy"] and not status["drift"]
    # From outside there is SSH and the one door.
    assert cloud.server.answering((22, 80, 443, 2375, 3001, 5432, 8000, 8080, 8081, 8443)) == {22, 8443}


def test_the_portal_is_at_the_domain_itself_and_log_ins_are_too(cloud: Cloud) -> None:
    page = cloud.ask("GET", DOMAIN, "/")
    assert page.status == 200 and b"<title>" in page.body
    assert f"https://*.users.{DOMAIN}:8443" in page.headers["Content-Security-Policy"]
    assert cloud.ask("GET", DOMAIN, "/.well-known/jwks.json").data["keys"]
    assert cloud.log_in(ADMIN)


def test_the_api_lets_in_who_has_logged_in(cloud: Cloud) -> None:
    assert cloud.ask("POST", f"api.{DOMAIN}", "/api/streaming/create", {}).status == 401
    assert cloud.ask("GET", f"api.{DOMAIN}", "/metrics").status == 404
    assert cloud.ask("GET", f"users.{DOMAIN}", "/sessions").status == 404


def test_a_session_is_a_container_that_answers_at_a_name_of_its_own(cloud: Cloud) -> None:
    before = cloud.server.sh(
        "docker inspect -f '{{.State.StartedAt}}' $(docker ps -q --filter label=ctl.service=nginx)"
    )
    session = cloud.session(ADMIN)
    assert host_of(session) == f"{session['name']}.users.{DOMAIN}"
    health = cloud.ask("GET", host_of(session), "/health")
    assert (health.status, health.data["status"]) == (200, "healthy")
    assert cloud.session(ADMIN)["sessionId"] == session["sessionId"], "one person has one"
    # The desktop is not there; who has no token does not even learn that.
    assert cloud.ask("GET", host_of(session), "/api/tags").status == 401
    assert cloud.ask("GET", host_of(session), "/api/tags", token=session["token"]).status == 503
    workers = cloud.server.sh(
        "docker logs $(docker ps -q --filter label=ctl.service=nginx) 2>&1 | grep -c reconfiguring || true"
    )
    after = cloud.server.sh("docker inspect -f '{{.State.StartedAt}}' $(docker ps -q --filter label=ctl.service=nginx)")
    assert (after, workers) == (before, "0"), "nginx was neither restarted nor reloaded for it"


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_name_that_nobody_has_is_not_found(cloud: Cloud, accept: str) -> None:
    reply = cloud.ask("GET", f"nobody-aaaaaa.users.{DOMAIN}", "/", accept=accept)
    assert reply.status == 404
    assert accept in reply.headers["Content-Type"] or b"no_session" in reply.body


def test_a_deploy_finds_nothing_to_do_beside_a_live_session(cloud: Cloud) -> None:
    cloud.session(ADMIN)
    there = cloud.proxies()
    again = cloud.ctl("deploy", "--yes", "--json")
    assert again.code == 0 and again.data["result"] == "unchanged", again
    assert cloud.proxies() == there and len(there) == 1
    status = cloud.ctl("status", "--json").data
    assert [s["spawned"] for s in status["services"] if "spawned" in s] == [{"sessions": 1}]
    assert not status["drift"] and "1 sessions" in cloud.ctl("status").stdout


def test_a_session_outlives_a_new_nginx_and_a_new_manager(cloud: Cloud) -> None:
    session, there = cloud.session(ADMIN), cloud.proxies()
    for service in ("nginx", "user-manager"):
        cloud.server.sh(f"docker rm -f $(docker ps -q --filter label=ctl.service={service})")
    brought = cloud.ctl("deploy", "--yes", "--json")
    assert brought.code == 0, brought
    assert cloud.proxies() == there
    until("nginx to be on the network again", lambda: cloud.ask("GET", host_of(session), "/health").status == 200)
    assert cloud.session(ADMIN)["sessionId"] == session["sessionId"]


CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"


END = """
import os, sys, urllib.request
key = {"Authorization": "Bearer " + os.environ["MANAGER_KEY"]}
urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="DELETE", headers=key), timeout=30)
"""


def test_nginx_that_has_stopped_comes_back_though_a_session_ended_meanwhile(cloud: Cloud) -> None:
    session = cloud.session(ADMIN)
    cloud.server.sh("docker stop $(docker ps -q --filter label=ctl.service=nginx)")
    ended = cloud.within(
        "cloudtolocalllm-user-manager-1", END, f"http://127.0.0.1:8000/sessions/{session['sessionId']}"
    )
    assert ended[0] == 0, ended
    cloud.server.sh(f"! docker network inspect cloudtolocalllm-user-{session['sessionId']} 2>/dev/null")
    # Docker does not start a container again that was on a network which is gone.
    assert cloud.server.inside.run("docker start cloudtolocalllm-nginx-1").rc != 0
    brought = cloud.ctl("deploy", "--yes", "--json")
    assert brought.code == 0, brought
    assert cloud.session(ADMIN)["sessionId"] != session["sessionId"]


def test_two_people_do_not_reach_each_other(cloud: Cloud) -> None:
    body = {"email": OTHER, "password": PASSWORD, "name": "Other"}
    assert cloud.ask("POST", DOMAIN, "/auth/users", body, cloud.log_in(ADMIN)).status == 201
    mine, theirs = cloud.session(ADMIN), cloud.session(OTHER)
    containers = [f"cloudtolocalllm-proxy-{session['name']}" for session in (mine, theirs)]
    assert set(containers) == set(cloud.proxies())
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    addresses = [cloud.server.sh(f"docker inspect -f '{form}' {name}") for name in containers]
    # Itself it reaches, so that what follows says something.
    assert cloud.within(containers[0], CONNECT, addresses[0], "3001")[0] == 0
    ours = "cloudtolocalllm-postgres-1 cloudtolocalllm-user-manager-1 cloudtolocalllm-docker-proxy-1"
    inner = cloud.server.sh(f"docker inspect -f '{form}' {ours}").split()
    gateway = cloud.server.sh("ip -4 route show default").split()[2]
    goals = [(addresses[1], "3001"), *((at, port) for at in inner for port in ("5432", "8000", "2375"))]
    goals += [(at, "22") for at in (gateway, cloud.server.lab.ip, "172.24.0.1", "10.201.0.1")]
    reached = [goal for goal in goals if cloud.within(containers[0], CONNECT, *goal)[0] == 0]
    assert not reached
    # nginx shares a network with it, and lets nobody from there at what is for the manager.
    ask = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1], timeout=3).status)"
    nginx = cloud.server.sh(
        "docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}} {{end}}'"
        f" cloudtolocalllm-user-{mine['sessionId']}"
    ).split()
    door = nginx[nginx.index("cloudtolocalllm-nginx-1") + 1].split("/")[0]
    assert "403" in cloud.within(containers[0], ask, f"http://{door}:8081/{mine['name']}/session")[1]
    # Tokens are good at the one session only; ids are nobody else's.
    assert cloud.ask("GET", host_of(mine), "/api/tags", token=theirs["token"]).status in {401, 403}
    for method, path in (("DELETE", ""), ("POST", "/token")):
        guess = cloud.ask(
            method,
            f"api.{DOMAIN}",
            f"/api/streaming/{mine['sessionId']}{path}",
            {"role": "client"} if path else None,
            cloud.log_in(OTHER),
        )
        assert guess.status == 404, guess


def test_a_portal_of_ones_own_takes_the_place_of_ours(cloud: Cloud) -> None:
    there = cloud.proxies()
    make = "mkdir -p site && echo '<title>mine</title>' >site/index.html"
    cloud.write(vars={"portal": {"build": make, "directory": "site"}})
    brought = cloud.ctl("deploy", "--yes", "--json")
    assert brought.code == 0 and [change["name"] for change in brought.data["changes"] if "name" in change] == [
        "portal"
    ]
    assert cloud.ask("GET", DOMAIN, "/").body == b"<title>mine</title>\n"
    assert cloud.ask("GET", DOMAIN, "/a/page").body == b"<title>mine</title>\n"
    assert cloud.ask("GET", DOMAIN, "/auth/config").status == 200
    assert cloud.proxies() == there
    cloud.write()
    assert cloud.ctl("deploy", "--yes").code == 0


def test_prometheus_asks_whoever_has_figures(cloud: Cloud) -> None:
    cloud.session(ADMIN)
    cloud.write(services=["prometheus"])
    brought = cloud.ctl("deploy", "--yes")
    assert brought.code == 0, brought
    container = "cloudtolocalllm-prometheus-1"

    def up() -> dict[str, str]:
        said = cloud.server.sh(f"docker exec {container} wget -qO- http://127.0.0.1:9090/api/v1/targets")
        targets = json.loads(said)["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in targets}

    jobs = {"prometheus", "node", "streaming-api", "user-manager"}
    until("all of them to answer", lambda: up() == dict.fromkeys(jobs, "up"), seconds=120, every=3)
    query = f"docker exec {container} wget -qO- 'http://127.0.0.1:9090/api/v1/query?query=users_sessions'"
    assert int(json.loads(cloud.server.sh(query))["data"]["result"][0]["value"][1]) >= 1


def test_sessions_end_with_the_stack_and_not_with_the_manager(cloud: Cloud) -> None:
    cloud.session(ADMIN)
    there = cloud.proxies()
    cloud.server.sh("systemctl restart cloudtolocalllm-user-manager.service")
    assert cloud.proxies() == there
    cloud.server.sh("systemctl stop cloudtolocalllm.target")
    until("the containers to be gone", lambda: not cloud.proxies() and not cloud.spares(), seconds=120)
    count = "docker network ls --format '{{.Name}}' | grep -c cloudtolocalllm-user-"
    until("user-network alone to be left", lambda: cloud.server.sh(count) == "1")
    cloud.server.sh("systemctl start cloudtolocalllm.target")
    until("a session", lambda: cloud.begins(ADMIN), seconds=180, every=10)
