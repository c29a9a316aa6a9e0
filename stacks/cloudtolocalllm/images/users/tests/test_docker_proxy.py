"""What HAProxy lets through to the real Docker engine, with the list that ctl renders, and what it refuses."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from refused import CONTAINERS, NETWORKS, REQUESTS, changes, requests
from users.proxies import session_key
from users.shapes import Stack, container_body
from world import PORTAL, Site

BY_HAPROXY = (b"Request forbidden by administrative rules", b"Your browser sent an invalid request")


@dataclass
class Docker:
    """HAProxy, spoken to letter by letter: no client is between that would mend what is sent."""

    site: Site

    def send(self, raw: bytes) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", self.site.docker_port), 15) as line:
            line.sendall(raw)
            answer = b""
            while b"\r\n\r\n" not in answer:
                piece = line.recv(65536)
                if not piece:
                    break
                answer += piece
            found = re.match(rb"HTTP/1\.[01] (\d+)", answer)
            if found is None:
                return 0, answer
            length = re.search(rb"content-length: *(\d+)", answer, re.IGNORECASE)
            while length and len(answer.partition(b"\r\n\r\n")[2]) < int(length[1]):
                piece = line.recv(65536)
                if not piece:
                    break
                answer += piece
            return int(found[1]), answer

    def ask(self, method: str, path: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
        length = f"Content-Length: {len(body)}\r\n" if body or method != "GET" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n{length}{headers}"
        return self.send(head.encode() + b"\r\n" + body)

    def refuses(self, method: str, path: str, body: bytes = b"", headers: str = "") -> None:
        status, answer = self.ask(method, path, body, headers)
        said = method == "HEAD" or any(text in answer for text in BY_HAPROXY)
        # 400: no request at all, as a "#" in a path makes it.
        assert said and (status == 403 or (status == 400 and "#" in path)), (method, path, body[:200], answer[:500])


@pytest.fixture(scope="module")
def docker(place: Site) -> Docker:
    return Docker(place)


JSON = "Content-Type: application/json\r\n"
V = "/v1.41"


MINE = "a" * 26
"""A session."""


def good(site: Site) -> dict[str, Any]:
    key = session_key("s" * 40, MINE)
    return container_body(Stack(site.stack), MINE, 1_700_000_000, site.proxy_image, key, PORTAL)


def network(site: Site) -> dict[str, Any]:
    subnet = site.subnets.replace(".0.0/16", ".9.0/28")
    return {
        "Name": f"{site.stack}-user-{MINE}",
        "Driver": "bridge",
        "Options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
        "IPAM": {
            "Driver": "default",
            "Config": [{"Subnet": subnet, "IPRange": None, "Gateway": None, "AuxiliaryAddresses": None}],
        },
        "CheckDuplicate": True,
        "Labels": good(site)["Labels"],
        "Internal": True,
    }


def put(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The body with one value changed or added, at a path of keys."""
    made: dict[str, Any] = json.loads(json.dumps(body))
    *above, last = path.split("/")
    at = made
    for key in above:
        at = at[key]
    at[last] = value
    return made


CREATE = "/containers/create?name={stack}-spare-" + MINE


@pytest.mark.parametrize(("path", "value"), changes(CONTAINERS), ids=CONTAINERS.strip().splitlines())
def test_a_container_is_a_users_and_nothing_more(docker: Docker, path: str, value: object) -> None:
    named = json.loads(json.dumps(value).replace("{stack}", docker.site.stack))
    body = put(good(docker.site), path.replace("{stack}", docker.site.stack), named)
    docker.refuses("POST", V + CREATE.format(stack=docker.site.stack), json.dumps(body).encode(), JSON)


@pytest.mark.parametrize(("path", "value"), changes(NETWORKS), ids=NETWORKS.strip().splitlines())
def test_a_network_is_a_users_and_nothing_more(docker: Docker, path: str, value: object) -> None:
    body = put(network(docker.site), path, json.loads(json.dumps(value).replace("{stack}", docker.site.stack)))
    docker.refuses("POST", f"{V}/networks/create", json.dumps(body).encode(), JSON)


# Texts that are the same, or nearly, to one reader, and something else to another.
Trick = Callable[[str], str | bytes]
TRICKS: dict[str, Trick] = {
    "a key twice": lambda text: text.replace('"CapDrop"', '"Privileged": true, "CapDrop"'),
    "all of HostConfig twice": lambda text: text[:-1] + ', "HostConfig": {"Privileged": true}}',
    "in other letters, after": lambda text: text[:-1] + ', "hostconfig": {"Privileged": true}}',
    "in other letters, before": lambda text: '{"HOSTCONFIG": {"Binds": ["/:/h"]}, ' + text[1:],
    "a letter that folds to k": lambda text: text.replace('"NetworkMode"', '"Networ\u212aMode": "host", "NetworkMode"'),
    "an escaped key": lambda text: text[:-1] + ', "Host\\u0043onfig": {"Privileged": true}}',
    "a second value": lambda text: text + '{"HostConfig": {"Privileged": true}}',
    "a first value": lambda text: '{"Image": "alpine"}' + text,
    "a line before": lambda text: "\n" + text,
    "a line after": lambda text: text + "\n",
    "a zero and more": lambda text: text.encode() + b"\0" + b'{"Image": "alpine"}',
    "a zero in the middle": lambda text: text.replace("1001:1001", "1001:1001\0").encode(),
    "other spaces": lambda text: text.replace(", ", ","),
    "a time that ends its string": lambda text: text.replace("1700000000", '1", "ctl.service": "nginx'),
    "a time with a line after it": lambda text: text.replace("1700000000", "1\n"),
    "a session with a line after it": lambda text: text.replace(MINE, MINE + "\n"),
    "no session": lambda text: text.replace(MINE, ""),
    "marked as UTF-8": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "in UTF-16": lambda text: text.encode("utf-16"),
    "larger than the buffer": lambda text: text[:-1] + " " * 40_000 + "}",
    "nothing": lambda text: "",
}


@pytest.mark.parametrize("name", TRICKS)
def test_a_body_is_one_text(docker: Docker, name: str) -> None:
    path = V + CREATE.format(stack=docker.site.stack)
    text = TRICKS[name](json.dumps(good(docker.site)))
    docker.refuses("POST", path, text if isinstance(text, bytes) else text.encode(), JSON)


def test_a_body_is_all_there(docker: Docker) -> None:
    """Chunked, announced longer than what is read, or sent with two lengths: none of it reaches Docker."""
    path = V + CREATE.format(stack=docker.site.stack)
    text = json.dumps(good(docker.site)).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: docker\r\n{JSON}".encode()
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text)
    assert docker.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)[0] == 403
    assert docker.send(head + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + chunk)[0] in (400, 403)
    assert docker.send(head + b"Content-Length: 5\r\nContent-Length: %d\r\n\r\n" % len(text) + text)[0] == 400
    assert docker.send(head + b"Content-Length: %d\r\n\r\n" % (len(text) + 1) + text)[0] in (403, 408)
    # What follows a request that is refused is no request.
    behind = f"GET {V}/containers/json HTTP/1.1\r\nHost: docker\r\n\r\n".encode()
    before = f"GET /version HTTP/1.1\r\nHost: docker\r\nContent-Length: {len(behind)}\r\n\r\n".encode()
    assert docker.send(before + behind)[0] == 403


@pytest.mark.parametrize(("method", "path"), requests(), ids=REQUESTS.strip().splitlines())
def test_other_requests_are_refused(docker: Docker, method: str, path: str) -> None:
    path = path.replace("{stack}", docker.site.stack)
    for version in (V, "/v1.44"):
        docker.refuses(method, version + path)


@pytest.mark.parametrize(
    "name", ["?name={stack}-proxy-mallory", "?name={stack}-nginx-2", "", "?name={stack}-spare-aaaa", "{create}&name=x"]
)
def test_no_container_begins_as_somebodys(docker: Docker, name: str) -> None:
    stack = docker.site.stack
    path = "/containers/create" + name.format(stack=stack, create=CREATE.format(stack=stack).partition("create")[2])
    docker.refuses("POST", V + path, json.dumps(good(docker.site)).encode(), JSON)


VERSIONS = [
    "",
    "/v1.24",
    "/v1.40",
    "/v2.0",
    "/v1.41/v1.41",
    "/v1.041",
    "/V1.41",
    "/v1.41x",
    "/%761.41",
    "http://docker/v1.41",
    "/../v1.41",
]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_path_has_its_version(docker: Docker, version: str) -> None:
    docker.refuses("POST", f"{version}/containers/{docker.site.stack}-proxy-mallory/start")


def test_a_start_carries_nothing(docker: Docker) -> None:
    path = f"{V}/containers/{docker.site.stack}-proxy-mallory"
    docker.refuses("POST", f"{path}/start", b'{"Privileged": true}', JSON)
    docker.refuses("DELETE", f"{path}?v=True&link=False&force=True", b"{}", JSON)
    spare = f"{V}/containers/{docker.site.stack}-spare-{MINE}"
    docker.refuses("POST", f"{spare}/rename?name={docker.site.stack}-proxy-mallory", b"{}", JSON)
    docker.refuses("GET", "/version", b"x")
    docker.refuses("POST", f"{path}/start", headers="Upgrade: tcp\r\nConnection: Upgrade\r\n")


def test_only_nginx_comes_to_a_users_network(docker: Docker) -> None:
    stack = docker.site.stack
    path = f"{V}/networks/{stack}-user-{MINE}"
    for body in (
        {"Container": f"{stack}-postgres-1", "EndpointConfig": {}},
        {"Container": "0" * 64, "EndpointConfig": {}},
        {"Container": f"{stack}-nginx-1"},
        {"Container": f"{stack}-nginx-1", "EndpointConfig": {"Aliases": ["x"]}},
        {"Container": f"{stack}-nginx-1", "container": "x", "EndpointConfig": {}},
    ):
        docker.refuses("POST", f"{path}/connect", json.dumps(body).encode(), JSON)
    joins = json.dumps({"Container": f"{stack}-nginx-1", "EndpointConfig": {}}).encode()
    docker.refuses("POST", f"{V}/networks/{stack}-front/connect", joins, JSON)
    docker.refuses("POST", f"{path}/disconnect", joins, JSON)
    parts = json.dumps({"Container": f"{stack}-postgres-1", "Force": True}).encode()
    docker.refuses("POST", f"{path}/disconnect", parts, JSON)


def test_what_the_manager_sends_passes(site: Site, docker: Docker) -> None:
    """The texts that the tables change: Docker itself answers, and does it."""
    stack = site.stack
    made = docker.ask("POST", f"{V}/networks/create", json.dumps(network(site)).encode(), JSON)
    assert made[0] == 201, made
    joins = json.dumps({"Container": f"{stack}-nginx-1", "EndpointConfig": {}}).encode()
    assert docker.ask("POST", f"{V}/networks/{stack}-user-{MINE}/connect", joins, JSON)[0] == 200
    made = docker.ask("POST", V + CREATE.format(stack=stack), json.dumps(good(site)).encode(), JSON)
    assert made[0] == 201, made
    spare, path = f"{V}/containers/{stack}-spare-{MINE}", f"{V}/containers/{stack}-proxy-mallory"
    assert docker.ask("POST", f"{spare}/start")[0] == 204
    assert docker.ask("POST", f"{spare}/rename?name={stack}-proxy-mallory")[0] == 204
    assert docker.ask("DELETE", f"{spare}?v=True&link=False&force=True")[0] == 404
    assert docker.ask("GET", f"{path}/stats?stream=False&one-shot=True")[0] == 200
    assert docker.ask("POST", f"{path}/stop?t=1")[0] == 204
    assert docker.ask("DELETE", f"{path}?v=True&link=False&force=True")[0] == 204
    parts = json.dumps({"Container": f"{stack}-nginx-1", "Force": True}).encode()
    assert docker.ask("POST", f"{V}/networks/{stack}-user-{MINE}/disconnect", parts, JSON)[0] == 200
    assert docker.ask("DELETE", f"{V}/networks/{stack}-user-{MINE}")[0] == 204
    assert not site.containers() and not site.networks()
