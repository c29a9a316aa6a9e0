"""Who is let in."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import jwt
import pytest
from conftest import Running, Start
from forgery import FORGERIES, forged
from world import Issuer, until


def status(gateway: Running, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.get(f"{gateway.url}/api/sessions", headers=headers, trust_env=False).status_code


@pytest.mark.parametrize("how", FORGERIES)
def test_forged_tokens_are_refused(gateway: Running, issuer: Issuer, how: str) -> None:
    assert status(gateway, issuer.token()) == 200
    assert status(gateway, forged(issuer, how)) == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 5000])
def test_no_token_at_all(gateway: Running, header: str) -> None:
    headers = {"authorization": header} if header else {}
    answer = httpx.get(f"{gateway.url}/api/models", headers=headers, trust_env=False)
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_token"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_without_an_email_is_good_where_no_domain_is_asked_for(gateway: Running, issuer: Issuer) -> None:
    assert status(gateway, issuer.token(email=None, sid=None, nbf=None)) == 200


def test_other_domains_are_refused(start: Start, issuer: Issuer) -> None:
    gateway = start(ALLOWED_DOMAINS="example.com, example.org")
    assert status(gateway, issuer.token(email="ada@Example.ORG")) == 200
    for email in ("eve@example.net", "eve@example.com.evil.net", "eve@sub.example.com", "example.com"):
        assert status(gateway, issuer.token(email=email)) == 403, email
    assert status(gateway, issuer.token(email=None)) == 403


def test_disabled_users_and_ended_logins_are_refused_within_seconds(gateway: Running, issuer: Issuer) -> None:
    tokens = {name: issuer.token(name) for name in ("disabled", "left", "good")}
    assert all(status(gateway, token) == 200 for token in tokens.values())
    issuer.revoke(users=("disabled",), logins=("left-login",))
    until(lambda: status(gateway, tokens["disabled"]) == 401, 5, "the refusal")
    assert status(gateway, tokens["left"]) == 401 and status(gateway, tokens["good"]) == 200
    issuer.revoke()
    until(lambda: status(gateway, tokens["disabled"]) == 200, 5, "the pardon")


def test_keys_rotate_with_an_overlap(gateway: Running, issuer: Issuer) -> None:
    old = issuer.token()
    issuer.add("second")
    new = issuer.token(kid="second")
    assert status(gateway, new) == status(gateway, old) == 200  # at once
    issuer.remove("second")
    until(lambda: status(gateway, new) == 401, 5, "the refusal")
    assert status(gateway, old) == 200


def test_rotation_under_load_loses_no_request(gateway: Running, issuer: Issuer) -> None:
    kid = "first"
    statuses: list[int] = []
    done = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=gateway.url, trust_env=False) as client:
            while not done.is_set():
                answer = client.get("/api/sessions", headers={"authorization": f"Bearer {issuer.token(kid=kid)}"})
                statuses.append(answer.status_code)

    workers = [threading.Thread(target=load) for _ in range(3)]
    for worker in workers:
        worker.start()
    for n in range(3):
        issuer.add(f"rotated-{n}", 2048)
        kid = f"rotated-{n}"
        many = len(statuses)
        until(lambda many=many: len(statuses) > many + 20, what="some requests")  # type: ignore[misc]
    done.set()
    for worker in workers:
        worker.join()
    for n in range(3):
        issuer.remove(f"rotated-{n}")
    assert set(statuses) == {200}


class Published:
    """The auth service's two documents and an OpenID provider's over HTTP, counted; `up` may be turned off."""

    def __init__(self, issuer: Issuer) -> None:
        self.asked: list[str] = []
        self.up = True
        self.document: dict[str, str] = {}
        published = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                published.asked.append(self.path)
                if self.path == "/.well-known/openid-configuration":
                    body = json.dumps(published.document).encode()
                else:
                    body = (issuer.jwks_file if "jwks" in self.path else issuer.revoked_file).read_bytes()
                self.send_response(200 if published.up else 500)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    published = Published(Issuer(tmp_path))
    yield published
    published.server.shutdown()
    published.server.server_close()


def test_keys_from_a_url(start: Start, tmp_path: Path, published: Published) -> None:
    issuer = Issuer(tmp_path)
    urls = {"JWKS_URL": f"{published.url}/jwks", "REVOKED_URL": f"{published.url}/revoked"}
    gateway = start(JWKS_FILE="", REVOKED_FILE="", **urls)
    assert status(gateway, issuer.token()) == 200
    # key ids that are made up do not hammer the service
    began, many = time.monotonic(), published.asked.count("/jwks")
    private = issuer.keys["first"]
    for n in range(150):
        assert status(gateway, jwt.encode(issuer.claims(), private, "RS256", {"kid": f"made-up-{n}"})) == 401
    assert published.asked.count("/jwks") - many <= 2 + (time.monotonic() - began) / 2 + 1
    # a new key is found without a restart
    issuer.add("second")
    until(lambda: status(gateway, issuer.token(kid="second")) == 200, 8, "the new key")
    # a revoked user is refused within seconds
    issuer.revoke(users=("ada",))
    until(lambda: status(gateway, issuer.token()) == 401, 12, "the refusal")
    issuer.revoke()
    until(lambda: status(gateway, issuer.token()) == 200, 12, "the pardon")
    # what is known is kept while the service is away
    published.up = False
    many = len(published.asked)
    until(lambda: len(published.asked) > many + 1, 20, "a failed look")
    assert status(gateway, issuer.token()) == 200


def test_keys_from_where_the_issuer_says(start: Start, tmp_path: Path, published: Published) -> None:
    issuer = Issuer(tmp_path)
    mine = f"{published.url}/"  # some issuers end so, and their tokens say it
    published.document = {"issuer": "https://example.org/", "jwks_uri": f"{published.url}/jwks"}
    gateway = start(wait=False, JWKS_FILE="", REVOKED_FILE="", ISSUER=mine)
    until(lambda: published.asked.count("/.well-known/openid-configuration") > 1, 20, "a second look")
    assert not gateway.ready() and published.asked.count("/jwks") == 0, "another issuer's document is not believed"
    published.document["issuer"] = mine
    until(gateway.ready, 10, "the gateway")
    assert status(gateway, issuer.token(iss=mine)) == 200
    assert status(gateway, issuer.token(iss=published.url)) == 401


def test_without_keys_it_is_not_ready_and_says_so(start: Start, tmp_path: Path, issuer: Issuer) -> None:
    gateway = start(wait=False, JWKS_FILE=str(tmp_path / "late.json"))

    def answers() -> bool:
        try:
            return httpx.get(f"{gateway.url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    until(answers)
    assert not gateway.ready() and status(gateway, issuer.token()) == 503
    issuer.write(tmp_path / "late.json", issuer.jwks())
    until(gateway.ready)
    assert status(gateway, issuer.token()) == 200
    # a damaged file is not believed, the keys are kept
    (tmp_path / "late.json").write_text("{")
    time.sleep(1.2)
    assert status(gateway, issuer.token()) == 200
