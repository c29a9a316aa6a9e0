"""What is killed under people at work, on a deployed cloudtolocalllm: what they notice of it, and what is left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import lab_cloud
import pytest
from lab_cloud import ADMIN, DOMAIN, PROXY, SPARES, Cloud
from lab_people import People, account
from lab_project import until

EMAILS = [f"{name}@example.com" for name in ("ada", "blaise", "carl", "emmy")]
NEWCOMER = "niels@example.com"
SESSION, NETWORK, SPARE = "cloudtolocalllm.proxy", "cloudtolocalllm-user-", "cloudtolocalllm-spare-"
SWEPT = 180
"""Seconds: the manager looks for what is stale every minute."""


@pytest.fixture(scope="module")
def cloud(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with lab_cloud.deployed(tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="module")
def people(cloud: Cloud) -> Iterator[People]:
    account(cloud, NEWCOMER)
    with People(cloud, EMAILS) as some:
        yield some


@pytest.mark.parametrize("service", ["user-manager", "streaming-api"])
def test_who_has_a_session_does_not_notice_that_a_service_is_killed(cloud: Cloud, people: People, service: str) -> None:
    there, sessions = cloud.proxies(), people.sessions()
    began = time.monotonic()
    people.go_on()
    killed(cloud, service)
    people.go_on()
    assert people.trouble(began) == {}
    assert people.sessions() == sessions
    assert there.items() <= cloud.proxies().items()
    settled(cloud, people)


@pytest.mark.parametrize("moment", ["container rename", "network create", "container create"])
def test_a_session_that_the_managers_death_cuts_off_as_it_begins_leaves_nothing(
    cloud: Cloud, people: People, moment: str
) -> None:
    token, name = cloud.log_in(NEWCOMER), end(cloud, NEWCOMER)
    manager = "cloudtolocalllm-user-manager-1"
    until("all that are begun ahead of time", lambda: len(cloud.spares()) == SPARES, seconds=120, every=2)
    before, pid = started(cloud, manager), process(cloud, manager)
    began = time.monotonic()
    # One that is there becomes the person's; then another is made in its place.
    watch = "timeout 60 docker events --format '{{.Type}} {{.Action}}'"
    with ThreadPoolExecutor(1) as beside:
        cut = beside.submit(cloud.server.sh, f"{watch} | {{ grep -qm1 '^{moment}' && kill -9 {pid}; }}")
        time.sleep(2)
        assert cloud.ask("POST", f"api.{DOMAIN}", "/api/streaming/create", {}, token).status in (200, 503)
        cut.result()
    until("the manager to be back", lambda: back(cloud, manager, before), seconds=120, every=1)
    # What had come far enough is a session, and the person's; the rest is gone.
    settled(cloud, people, beside=name)
    until("a session", lambda: cloud.begins(NEWCOMER), seconds=60, every=7)
    end(cloud, NEWCOMER)
    people.go_on()
    assert people.trouble(began) == {}
    settled(cloud, people)


def test_a_proxy_that_is_killed_is_there_again_and_nobody_else_notices(cloud: Cloud, people: People) -> None:
    there, sessions = cloud.proxies(), people.sessions()
    people.go_on()
    began, victim = time.monotonic(), people.all[0]
    cloud.server.sh(f"kill -9 {process(cloud, f'cloudtolocalllm-proxy-{victim.name}')}")
    until("the long answer to break off", lambda: victim.cut(began))
    lost = victim.cut(began)[0].ended
    until("an answer to what was asked since", lambda: victim.answered(lost), seconds=90)
    well = victim.answered(lost)[0].ended
    until("another long answer", people.listening)
    people.go_on()
    assert set(people.trouble(began)) == {victim.email}
    assert people.trouble(well) == {}
    assert len(victim.cut(began)) == 1
    assert cloud.proxies() == there, "the same container, by the same name"
    assert people.sessions() == sessions
    settled(cloud, people)


@pytest.mark.parametrize("loss", ["killed", "upgraded"])
def test_what_streams_goes_on_without_dockerd(cloud: Cloud, people: People, loss: str) -> None:
    there, sessions, before = cloud.proxies(), people.sessions(), running(cloud)
    people.go_on()
    began, old = time.monotonic(), dockerd(cloud)
    # As its package does it: the socket, which docker-proxy has, is made anew too.
    upgrade = "systemctl stop docker.service docker.socket && systemctl start docker.socket docker.service"
    cloud.server.sh(f"kill -9 {old}" if loss == "killed" else upgrade)
    until("dockerd to be back", lambda: dockerd(cloud) != old and answers(cloud), seconds=120)
    returned = time.monotonic()
    # Names are looked up at dockerd: what was asked meanwhile may have found none, and what is asked now finds them.
    until("answers to what was asked since", lambda: people.answered(returned), seconds=60)
    people.go_on()
    failed = [each for some in people.trouble(began).values() for each in some]
    assert [each for each in failed if not began < each.began < returned + 1] == [], "what streams does not need it"
    assert (cloud.proxies(), people.sessions()) == (there, sessions)
    until("another session", lambda: cloud.begins(NEWCOMER), seconds=90, every=7)
    end(cloud, NEWCOMER)
    settled(cloud, people)
    anew = running(cloud) ^ before
    # One that was begun ahead of time became the newcomer's, and another was begun.
    assert {one for one in anew if "docker-proxy" not in one and SPARE not in one} == set()


def test_sessions_are_there_again_after_a_reboot(cloud: Cloud, people: People) -> None:
    there, sessions = cloud.proxies(), people.sessions()
    people.go_on()
    cloud.server.reboot()
    booted = time.monotonic()
    until("everybody to be answered", lambda: people.answered(booted), seconds=240, every=1)
    assert people.sessions() == sessions
    assert cloud.proxies() == there
    until("the stack to be healthy", lambda: cloud.ctl("status", "--json").data["healthy"], seconds=120, every=2)
    until("long answers", people.listening, seconds=60)
    steady = time.monotonic()
    people.go_on()
    assert people.trouble(steady) == {}
    settled(cloud, people)
    assert cloud.ctl("plan", "--detailed-exitcode").code == 0


def killed(cloud: Cloud, service: str) -> None:
    """Ends its process, and returns when there is another that is well."""
    container = f"cloudtolocalllm-{service}-1"
    before = started(cloud, container)
    # Docker would take `docker kill` for somebody's wish.
    cloud.server.sh(f"kill -9 {process(cloud, container)}")
    until(f"{service} to be back", lambda: back(cloud, container, before), seconds=120, every=1)


def process(cloud: Cloud, container: str) -> str:
    return cloud.server.sh(f"docker inspect -f '{{{{.State.Pid}}}}' {container}")


def started(cloud: Cloud, container: str) -> str:
    return cloud.server.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {container}")


def back(cloud: Cloud, container: str, before: str) -> bool:
    state = json.loads(cloud.server.sh(f"docker inspect -f '{{{{json .State}}}}' {container}"))
    return state["StartedAt"] != before and state["Health"]["Status"] == "healthy"


def dockerd(cloud: Cloud) -> str:
    return cloud.server.sh("systemctl show -p MainPID --value docker.service")


def answers(cloud: Cloud) -> bool:
    return bool(cloud.server.inside.run("docker version").rc == 0)


def running(cloud: Cloud) -> set[str]:
    """Every container by its name, with the time of its start."""
    ask = "docker ps -q | xargs docker inspect -f '{{.Name}} {{.State.StartedAt}}'"
    return set(cloud.server.sh(ask).splitlines())


def end(cloud: Cloud, email: str) -> str:
    """Ends the person's session; gives the person's name."""
    session = cloud.session(email)
    reply = cloud.ask("DELETE", f"api.{DOMAIN}", f"/api/streaming/{session['sessionId']}", None, cloud.log_in(email))
    assert reply.status == 204, reply
    return str(session["name"])


def recorded(cloud: Cloud) -> dict[str, str]:
    """Everybody's live sessions as the API has them: ids, by the people's names."""
    query = "/api/admin/streaming/sessions?live=true"
    reply = cloud.ask("GET", f"api.{DOMAIN}", query, token=cloud.log_in(ADMIN))
    assert reply.status == 200, reply
    return {one["name"]: one["sessionId"] for one in reply.data["sessions"]}


def settled(cloud: Cloud, people: People, beside: str = "") -> None:
    """In time, what there is belongs to the people's sessions, each to one; somebody beside them may have one too."""
    sessions, deadline = people.sessions(), time.monotonic() + SWEPT
    while True:
        spares, there, said = cloud.spares(), found(cloud), recorded(cloud)
        others = {name for name, _ in said.items() - sessions.items()}
        if there == wanted(said, spares) and sessions.items() <= said.items() and others <= {beside}:
            assert len(spares) <= SPARES
            return
        assert time.monotonic() < deadline, (there, said, sessions)
        time.sleep(3)


def wanted(sessions: dict[str, str], spares: Iterable[str]) -> list[str]:
    """What there has to be for these sessions, and for those that nobody has yet, and nothing else."""
    containers = {f"cloudtolocalllm-proxy-{name}": session for name, session in sessions.items()}
    containers |= {name: name.removeprefix(SPARE) for name in spares}
    return sorted(
        line
        for container, session in containers.items()
        for line in (
            f"container {container} of {session} running on {NETWORK}{session}",
            f"network {NETWORK}{session} of {session}",
            f"nginx on {NETWORK}{session}",
        )
    )


def found(cloud: Cloud) -> list[str]:
    """What Docker has with a label of a session, stopped or not, and which of the people's networks nginx is on."""
    ask = f"docker ps -aq --filter {PROXY} | xargs -r docker inspect"
    containers = [
        f"container {one['Name'].lstrip('/')} of {one['Config']['Labels'][SESSION]} {one['State']['Status']}"
        f" on {','.join(one['NetworkSettings']['Networks'])}"
        for one in json.loads(cloud.server.sh(ask) or "[]")
    ]
    ask = f"docker network ls -q --filter {PROXY} | xargs -r docker network inspect"
    networks = [
        f"network {one['Name']} of {one['Labels'][SESSION]}" for one in json.loads(cloud.server.sh(ask) or "[]")
    ]
    ask = "docker inspect -f '{{json .NetworkSettings.Networks}}' cloudtolocalllm-nginx-1"
    names = [name for name in json.loads(cloud.server.sh(ask)) if name.startswith(NETWORK)]
    of_people = [f"nginx on {name}" for name in names if name != f"{NETWORK}network"]  # the stack's own
    return sorted([*containers, *networks, *of_people])
