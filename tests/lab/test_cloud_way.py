"""The whole way of the stack cloudtolocalllm: browser, nginx, a person's proxy, `ctl bridge` on a desktop, a model.

The model is a stand-in. All else is real: two machines, TLS with the host's certificate checked, a browser.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import lab_desktop
import lab_way
import pytest
from lab_cloud import ADMIN, DOMAIN, OTHER, PASSWORD, host_of
from lab_desktop import NGROK_SAYS, TOP
from lab_project import DOOR, until
from lab_way import API, PROMPT, Way

from ctl.lab import registry

SAID = "This is the stand-in, no model."


@pytest.fixture(scope="module")
def way(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    with lab_way.ready(tmp_path_factory) as made:
        yield made


def test_a_browser_talks_to_the_model_on_the_desktop(way: Way) -> None:
    """Log in, start, connect, ask, reload, lose the desktop, ask again, stop. Screenshots: build/ui/shots/portal."""
    way.desktop.stop()
    way.end()
    door = {"UI_BASE_URL": f"https://{DOMAIN}:{DOOR}", "UI_ADDRESS": way.cloud.server.lab.ip}
    who = {"UI_CERTIFICATE": str(way.certificate), "UI_EMAIL": OTHER, "UI_PASSWORD": PASSWORD}
    desktop = {
        "UI_DESKTOP_START": shlex.join(way.desktop.bridge("start")),
        "UI_DESKTOP_KILL": shlex.join(way.desktop.bridge("kill", "--signal=KILL")),
    }
    before = len(way.api("GET", "/streaming/sessions").data["sessions"])
    walk = subprocess.run(
        [TOP / "scripts/test-ui.sh", "portal"],
        env={**os.environ, **door, **who, **desktop},
        capture_output=True,
        text=True,
        timeout=400,
    )
    print(walk.stdout[-3000:])
    assert walk.returncode == 0, walk.stdout[-3000:] + walk.stderr[-3000:]
    after = way.api("GET", "/streaming/sessions").data["sessions"]
    assert len(after) == before + 1, "one session outlived the desktop that was killed"
    assert (after[0]["live"], after[0]["reason"]) == (False, "asked")


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_program_is_answered_chunk_by_chunk(way: Way, path: str) -> None:
    # The bridge that saw the last session end comes into this one by itself.
    answer = way.stream(way.session(), path)
    assert answer.status == 200
    answer.assert_piecemeal()
    if path == "/api/chat":
        lines = [json.loads(line) for line in answer.body.splitlines()]
        assert "".join(line["message"]["content"] for line in lines) == SAID
        assert lines[-1]["done"]
    else:
        *events, done = (event.removeprefix("data: ") for event in answer.body.rstrip().split("\n\n"))
        parts = [json.loads(event)["choices"][0]["delta"] for event in events]
        assert ("".join(part.get("content", "") for part in parts), done) == (SAID, "[DONE]")


def test_a_bridge_that_is_killed_comes_back_into_the_same_session(way: Way) -> None:
    session, past = way.session(), len(way.desktop.said())
    subprocess.run(way.desktop.bridge("kill", "--signal=KILL"), check=True, timeout=60)
    # Asked at once: the proxy waits for a desktop that was just there.
    assert way.stream(session).whole
    way.desktop.until_said("in use: the cloud", past)
    assert way.cloud.session(OTHER)["sessionId"] == session["sessionId"]


def test_a_desktop_whose_network_comes_back_is_in_the_same_session(way: Way) -> None:
    session = way.session()
    with way.desktop.unplugged():
        time.sleep(5)
    # The open connection goes on if the address is the same. What is sent into one that is lost is answered with 502.
    until("the desktop to answer", lambda: way.stream(session).whole, seconds=120)
    assert way.cloud.session(OTHER)["sessionId"] == session["sessionId"]


def test_a_desktop_that_moves_to_another_address_is_in_the_same_session(way: Way) -> None:
    session, past = way.session(), len(way.desktop.said())
    way.desktop.move()
    # What is lost without a word is noticed by pings that are not answered.
    way.desktop.until_said("in use: the cloud", past, seconds=120)
    assert way.stream(session).whole
    assert way.cloud.session(OTHER)["sessionId"] == session["sessionId"]


# Two people.

KNOCK = """
import errno, json, selectors, socket, sys, time
waiting, reached = selectors.DefaultSelector(), []
for host, port in json.loads(sys.argv[1]):
    trial = socket.socket()
    trial.setblocking(False)
    if trial.connect_ex((host, port)) in (0, errno.EINPROGRESS):
        waiting.register(trial, selectors.EVENT_WRITE, [host, port])
until = time.monotonic() + 4
while waiting.get_map() and time.monotonic() < until:
    for key, _ in waiting.select(0.5):
        waiting.unregister(key.fileobj)
        if not key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            reached.append(key.data)
print(json.dumps(reached))
"""
"""What `nc -z` would say of each address and port; the image has no nc."""

KNOWN = """
import socket, sys
for name in sys.argv[1:]:
    try:
        print(name, socket.gethostbyname(name))
    except OSError:
        pass
"""

PAGE = """
import ssl, sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Host": sys.argv[2]})
try:
    print(urllib.request.urlopen(request, timeout=5, context=ssl._create_unverified_context()).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""

PORTS = (22, 53, 80, 443, 2375, 2376, 3001, 5432, 8000, 8080, 8081, DOOR)


def test_from_a_persons_container_nothing_is_reached(way: Way) -> None:
    cloud, server = way.cloud, way.cloud.server
    theirs, mine = cloud.session(ADMIN), way.session()
    container = f"cloudtolocalllm-proxy-{mine['name']}"
    form = "{{.Name}}{{range $n, $v := .NetworkSettings.Networks}} {{$n}}={{$v.IPAddress}}{{end}}"
    rows = [row.split() for row in server.sh(f"docker inspect -f '{form}' $(docker ps -q)").splitlines()]
    at = {name.lstrip("/"): dict(one.split("=") for one in found) for name, *found in rows}
    gateways = server.sh(
        "docker network inspect -f '{{range .IPAM.Config}}{{.Gateway}} {{end}}' $(docker network ls -q)"
    ).split()
    host = server.sh("hostname -I; ip -4 route show default | cut -d ' ' -f 3").split()
    places = {address for networks in at.values() for address in networks.values() if address}
    # The metadata of a cloud's machines, and what the host reaches outside: this lab's other machines.
    outside = [way.desktop.address, "169.254.169.254", *(host[-1:])]
    goals = [[place, port] for place in sorted({*places, *gateways, *host, *outside}) for port in PORTS]

    def reached(name: str) -> set[tuple[str, int]]:
        code, said = cloud.within(name, KNOCK, json.dumps(goals))
        assert code == 0, said
        return {(place, port) for place, port in json.loads(said)}

    own = f"cloudtolocalllm-user-{mine['sessionId']}"
    itself, nginx = at[container][own], at["cloudtolocalllm-nginx-1"][own]
    # One of the stack's own reaches its neighbours and the world, so that the rest says something.
    control = reached("cloudtolocalllm-streaming-api-1")
    postgres = at["cloudtolocalllm-postgres-1"]["cloudtolocalllm-data"]
    assert {(postgres, 5432), (way.desktop.address, 22)} <= control
    assert reached(container) == {(itself, 3001), (nginx, 8081), (nginx, DOOR)}
    # nginx is the one neighbour, and refuses whatever comes from there, by whatever name.
    for name in (DOMAIN, API, f"users.{DOMAIN}", host_of(theirs), host_of(mine)):
        assert cloud.within(container, PAGE, f"https://{nginx}:{DOOR}/health", f"{name}:{DOOR}") == (0, "403\n"), name
    assert cloud.within(container, PAGE, f"http://{nginx}:8081/{theirs['name']}/session", nginx) == (0, "403\n")
    # Nor are questions carried outside in names, as that of the lab's registry is for the stack's own.
    names = [registry.CONTAINER, "postgres", "streaming-api", "user-manager", f"cloudtolocalllm-proxy-{theirs['name']}"]
    assert f"{registry.CONTAINER} " in cloud.within("cloudtolocalllm-streaming-api-1", KNOWN, *names)[1]
    assert cloud.within(container, KNOWN, *names) == (0, "")


def test_nobody_gets_at_the_session_of_somebody_else(way: Way) -> None:
    mine, theirs = way.session(), way.cloud.session(ADMIN)
    real, guessed = theirs["sessionId"], "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))
    # One that there is and one that there is not are told apart by nothing.
    for method, path, body in (
        ("POST", "/token", {"role": "client"}),
        ("POST", "/token", {"role": "desktop"}),
        ("PUT", "/tunnel", {"url": "https://elsewhere.ngrok-free.app"}),
        ("DELETE", "", None),
    ):
        found = [way.api(method, f"/streaming/{number}{path}", OTHER, body) for number in (real, guessed)]
        assert [reply.status for reply in found] == [404, 404], found
        errors = [{**reply.data["error"], "request_id": ""} for reply in found]
        assert errors[0] == errors[1]
        assert set(found[0].headers) == set(found[1].headers)
    listed = way.api("GET", "/streaming/sessions").data["sessions"]
    assert {one["name"] for one in listed if "name" in one} <= {mine["name"]}
    assert mine["sessionId"] in {one["sessionId"] for one in listed} and real not in str(listed)
    assert way.api("GET", "/admin/streaming/sessions").status == 403
    # It is none the worse for it.
    again = way.cloud.session(ADMIN)
    assert again["sessionId"] == real
    assert way.cloud.ask("GET", host_of(theirs), "/api/tags", token=again["token"]).status == 503


def test_tokens_are_good_at_their_own_session_and_for_their_own_side(way: Way) -> None:
    mine, theirs = way.session(), way.cloud.session(ADMIN)
    cases = [
        # Mine at their name; saying that it is for my session, and that it is for theirs.
        (theirs, "/ws/client", way.token(mine), mine["sessionId"]),
        (theirs, "/ws/client", way.token(mine), theirs["sessionId"]),
        (theirs, "/ws/desktop", way.token(mine, "desktop"), theirs["sessionId"]),
        # A client that would be the desktop, and the other way round.
        (mine, "/ws/desktop", way.token(mine), mine["sessionId"]),
        (mine, "/ws/client", way.token(mine, "desktop"), mine["sessionId"]),
        # The login itself is no token of a session.
        (mine, "/ws/client", way.cloud.log_in(OTHER), mine["sessionId"]),
    ]
    codes = asyncio.run(_handshakes(way, cases))
    assert set(codes) <= {4401, 4403}, codes
    for role, token in (("desktop", way.token(mine, "desktop")), ("login", way.cloud.log_in(OTHER))):
        assert way.cloud.ask("GET", host_of(mine), "/api/tags", token=token).status in {401, 403}, role
    assert way.stream(mine).whole, "the desktop was not put out"


async def _handshakes(way: Way, cases: list[tuple[dict[str, Any], str, str, str]]) -> list[int | None]:
    """How each of them is closed; None if it is let in."""
    codes = []
    async with aiohttp.ClientSession() as http:
        for session, path, token, said in cases:
            address = f"wss://{way.cloud.server.lab.ip}:{DOOR}{path}"
            headers = {"Host": f"{host_of(session)}:{DOOR}", "Origin": f"https://{DOMAIN}:{DOOR}"}
            async with http.ws_connect(
                address, headers=headers, ssl=way.cloud.trust, server_hostname=host_of(session)
            ) as socket:
                now = int(time.time() * 1000)
                await socket.send_json({"type": "auth", "token": token, "sessionId": said, "timestamp": now})
                answer = await socket.receive(timeout=20)
                codes.append(answer.data if answer.type is aiohttp.WSMsgType.CLOSE else None)
    await asyncio.sleep(0.3)  # TLS takes its leave after the client has been closed
    return codes


def test_the_tunnel_opens_when_the_platform_cannot_be_reached(way: Way) -> None:
    """The agent is a stand-in: its tunnel begins on the desktop itself. The guard in front of the model is real."""
    desktop, cloud = way.desktop, way.cloud
    desktop.stop()
    lab_desktop.set_up(desktop, cloud, OTHER, [host_of(cloud.session(OTHER))], ngrok=True)
    session, past = way.session(), len(desktop.said())
    tokens = {"own": cloud.log_in(OTHER), "other": cloud.log_in(ADMIN), "session": way.token(session), "none": ""}
    with desktop.without(cloud.server.lab.ip):
        desktop.until_said("in use: the ngrok tunnel", past, seconds=150)
        assert "the tunnel is open: https://bridge.ngrok.example" in desktop.said()[past:]
        door = json.loads(desktop.sh(f"cat {NGROK_SAYS}"))["upstream"]
        chat = "curl -s -w '%{http_code}' -H 'Content-Type: application/json' -d " + shlex.quote(json.dumps(PROMPT))
        said = {
            name: desktop.sh(f"{chat} -H 'Authorization: Bearer {token}' http://{door}/api/chat")
            for name, token in tokens.items()
        }
        assert '"done":true' in said.pop("own")
        assert all(text.endswith("401") and "stand-in" not in text for text in said.values()), said
    desktop.until_said("in use: the cloud", past, seconds=120)
    until("the tunnel to be closed", lambda: "ngrok http" not in desktop.sh("ps -eo args"))
    assert way.stream(session).whole
    assert cloud.session(OTHER)["sessionId"] == session["sessionId"]
