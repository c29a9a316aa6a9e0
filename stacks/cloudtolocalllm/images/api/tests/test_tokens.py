"""Who is let in, and what the tokens of a session say."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import httpx
import pytest
from conftest import STREAMING_KEY, Running, Start
from forgery import FORGERIES, forged
from itsdangerous import BadSignature, URLSafeTimedSerializer
from streaming.session_tokens import session_key
from world import Issuer, until


def status(api: Running, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.get(f"{api.url}/api/streaming/sessions", headers=headers, trust_env=False).status_code


def opened(token: str, session: str) -> dict[str, Any]:
    """As a proxy opens it, with the key of its session."""
    return dict(URLSafeTimedSerializer(session_key(STREAMING_KEY, session), salt="session").loads(token))


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("how", FORGERIES)
def test_forged_tokens_are_refused(api: Running, issuer: Issuer, how: str) -> None:
    assert status(api, issuer.token()) == 200
    assert status(api, forged(issuer, how)) == 401


@pytest.mark.parametrize("path", ["create", "sessions", "x/token", "x/tunnel", "x", "../admin/streaming/sessions"])
def test_nothing_without_a_token(api: Running, path: str) -> None:
    method = {"create": "POST", "x/token": "POST", "x/tunnel": "PUT", "x": "DELETE"}.get(path, "GET")
    with httpx.Client(base_url=f"{api.url}/api/streaming/", trust_env=False) as client:
        answer = client.request(method, path, json={} if method in ("POST", "PUT") else None)
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")


def test_revoked_logins_and_users_are_refused(api: Running, issuer: Issuer) -> None:
    tokens = {name: issuer.token(name) for name in ("disabled", "left", "good")}
    assert all(status(api, token) == 200 for token in tokens.values())
    issuer.revoke(users=("disabled",), logins=("left-login",))
    until(lambda: status(api, tokens["disabled"]) == 401, 8, "the refusal")
    assert status(api, tokens["left"]) == 401 and status(api, tokens["good"]) == 200
    issuer.revoke()
    until(lambda: status(api, tokens["disabled"]) == 200, 8, "the pardon")


def test_a_token_without_an_email_is_good(api: Running) -> None:
    made = api.create("auth0|5f7c8ec7c33c6c004bbafe82", email=None, sid=None, nbf=None, role=None)
    assert made["name"].startswith("user-")


@pytest.mark.parametrize("roles", ["user", None, ["editor"], 5])
def test_only_admins_see_everybody(api: Running, roles: Any) -> None:
    with api.client(role=roles) as client:
        assert client.get("/admin/streaming/sessions").status_code == (401 if roles == 5 else 403)


def test_roles_of_another_issuer(start: Start) -> None:
    """Such as Auth0, whose claims have names of one's own and hold lists, and whose audiences are several."""
    claim = "https://cloud.example/roles"
    api = start(
        ISSUER="https://tenant.example/", AUDIENCE="https://api.cloud.example", ROLES_CLAIM=claim, ADMIN_ROLE="ops"
    )
    theirs: dict[str, Any] = {
        "iss": "https://tenant.example/", "aud": ["https://api.cloud.example", "https://tenant.example/userinfo"],
        "email": None, "role": "ops",
    }  # fmt: skip
    with api.client(**theirs) as client:
        assert client.get("/streaming/sessions").status_code == 200
        assert client.get("/admin/streaming/sessions").status_code == 403
    theirs[claim] = ["editor", "ops"]
    with api.client(**theirs) as client:
        assert client.get("/admin/streaming/sessions").status_code == 200


@pytest.mark.parametrize("role", ["client", "desktop"])
def test_a_session_token_says_what_the_proxy_asks(api: Running, role: str) -> None:
    made = api.create()
    with api.client() as client:
        answers = [client.post(f"/streaming/{made['sessionId']}/token", json={"role": role}).json() for _ in range(2)]
    claims = [opened(answer["token"], made["sessionId"]) for answer in answers]
    assert claims[0]["id"] != claims[1]["id"] and len(claims[0]["id"]) == 16
    assert {(each["sid"], each["role"]) for each in claims} == {(made["sessionId"], role)}
    assert claims[0]["until"] == moment(answers[0]["expiresAt"])
    with pytest.raises(BadSignature):
        opened(answers[0]["token"], "a" * 26)


def test_a_session_token_ends_before_the_login(api: Running) -> None:
    now = int(time.time())
    for exp, ends in ((now + 60, now + 60), (now + 86400, now + 900)):
        made = api.create(exp=exp)
        assert moment(made["expiresAt"]) == pytest.approx(ends, abs=30)
        assert opened(made["token"], made["sessionId"])["until"] <= exp
    assert opened(made["token"], made["sessionId"])["role"] == "client"
    with api.client(exp=now - 2) as client:  # still let in, but there is nothing left to give
        assert client.post("/streaming/create").status_code == 401
