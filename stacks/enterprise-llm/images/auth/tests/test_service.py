"""What the service says, over HTTP, one process."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
import time
import uuid
from typing import Any

import httpx
import jwt
import pytest
from conftest import ADMIN, Running, Start
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def jwks(service: Running) -> dict[str, jwt.PyJWK]:
    keys = httpx.get(f"{service.url}/auth/jwks.json", trust_env=False).json()["keys"]
    return {key["kid"]: jwt.PyJWK(key) for key in keys}


def test_log_in_gives_a_token_that_the_published_key_verifies(service: Running) -> None:
    with service.client() as client:
        answer = client.post("/auth/login", json=ADMIN)
    body = answer.json()
    header = jwt.get_unverified_header(body["access_token"])
    key = jwks(service)[header["kid"]]
    assert header["alg"] == "RS256" and key.key.key_size == 4096
    claims = jwt.decode(body["access_token"], key.key, ["RS256"], audience="gateway", issuer="auth")
    assert claims["email"] == ADMIN["email"] and claims["sub"] == body["user"]["id"] and claims["role"] == "admin"
    assert claims["exp"] - claims["iat"] == body["expires_in"] == 600
    assert {"jti", "nbf", "sid"} <= set(claims)
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/auth"))
    assert "refresh_token" not in body


def test_jwks_file_is_what_the_endpoint_says(service: Running) -> None:
    written = json.loads((service.data.parent / f"{service.data.name}-jwks.json").read_text())
    assert {key["kid"] for key in written["keys"]} == set(jwks(service))
    assert not {"d", "p", "q"} & set(written["keys"][0])


@pytest.mark.parametrize(
    ("email", "password"), [(ADMIN["email"], "wrong-password"), ("no@example.com", "wrong-password")]
)
def test_wrong_credentials_are_one_and_the_same_answer(service: Running, email: str, password: str) -> None:
    with service.client() as client:
        answer = client.post("/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_credentials"


def forged(service: Running, how: str) -> str:
    """A token that is good but for one thing."""
    kid, public = next(iter(jwks(service).items()))
    now = int(time.time())
    genuine = service.login()
    claims = jwt.decode(genuine["access_token"], options={"verify_signature": False})
    private = serialization.load_pem_private_key(
        json.loads((service.data / "keys.json").read_text())["keys"][kid]["pem"].encode(), None
    )
    assert isinstance(private, rsa.RSAPrivateKey)
    pem = public.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    if how == "none":
        return f"{part({'alg': 'none', 'kid': kid})}.{part(claims)}."
    if how == "hs256":  # by hand: the library refuses to do it
        body = f"{part({'alg': 'HS256', 'kid': kid, 'typ': 'JWT'})}.{part(claims)}"
        mac = base64.urlsafe_b64encode(hmac.new(pem, body.encode(), hashlib.sha256).digest()).rstrip(b"=")
        return f"{body}.{mac.decode()}"
    if how == "expired":
        claims.update(iat=now - 700, nbf=now - 700, exp=now - 100)
    elif how == "future":
        claims.update(nbf=now + 300)
    elif how == "issuer":
        claims.update(iss="somebody")
    elif how == "audience":
        claims.update(aud="somebody")
    elif how == "sub":
        claims.update(sub=str(uuid.uuid4()))
    elif how == "login":
        claims.update(sid="another")
    elif how == "no-exp":
        del claims["exp"]
    if how == "other-key":
        return jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", {"kid": kid})
    if how == "rs512":
        return jwt.encode(claims, private, "RS512", {"kid": kid})
    return jwt.encode(claims, private, "RS256", {"kid": "unknown" if how == "kid" else kid})


def test_a_token_made_as_the_service_makes_them_is_taken(service: Running) -> None:
    with service.client(headers={"authorization": f"Bearer {forged(service, 'not at all')}"}) as client:
        assert client.get("/auth/me").status_code == 200


@pytest.mark.parametrize(
    "how",
    ["none", "hs256", "expired", "future", "issuer", "audience", "sub", "login", "no-exp", "other-key", "rs512", "kid"],
)
def test_forged_tokens_are_refused(service: Running, how: str) -> None:
    with service.client(headers={"authorization": f"Bearer {forged(service, how)}"}) as client:
        answer = client.get("/auth/me")
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_token"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_refresh_rotates_and_an_old_token_ends_the_login(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    service = start()
    first = service.login()["refresh_token"]
    with service.client() as client:

        def refresh(token: str) -> httpx.Response:
            return client.post("/auth/refresh", json={"refresh_token": token})

        second = refresh(first).json()["refresh_token"]
        assert second != first
        # an answer that was lost, or another tab: the same successor, shortly after
        assert refresh(first).json()["refresh_token"] == second
        answer = refresh(second).json()
        third, access = answer["refresh_token"], answer["access_token"]
        # now the first is two generations old: somebody copied it
        assert refresh(first).status_code == 401
        assert refresh(third).status_code == 401
        assert client.get("/auth/me", headers={"authorization": f"Bearer {access}"}).status_code == 401
        sid = first.partition(".")[0]
        assert sid in client.get("/auth/revoked.json").json()["logins"]
    assert sid in json.loads((service.data.parent / f"{service.data.name}-revoked.json").read_text())["logins"]


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a.0.c", "é.1.é", "a." + "9" * 40 + ".c"])
def test_made_up_refresh_tokens_are_refused(service: Running, token: str) -> None:
    with service.client() as client:
        assert client.post("/auth/refresh", json={"refresh_token": token}).status_code == 401


def test_a_guess_does_not_end_a_login(service: Running) -> None:
    token = service.login()["refresh_token"]
    sid = token.partition(".")[0]
    with service.client() as client:
        assert client.post("/auth/refresh", json={"refresh_token": f"{sid}.7.{'0' * 64}"}).status_code == 401
        assert client.post("/auth/refresh", json={"refresh_token": token}).status_code == 200


def test_the_cookie_refreshes_logs_out_and_is_for_this_site_only(service: Running) -> None:
    with service.client() as client:
        cookie = client.post("/auth/login", json=ADMIN).headers["set-cookie"].partition(";")[0]
        foreign = client.post("/auth/refresh", headers={"cookie": cookie, "sec-fetch-site": "same-site"})
        assert foreign.status_code == 403 and foreign.json()["error"]["code"] == "cross_site"
        answer = client.post("/auth/refresh", headers={"cookie": cookie, "sec-fetch-site": "same-origin"})
        assert answer.status_code == 200 and "refresh_token" not in answer.json()
        cookie = answer.headers["set-cookie"].partition(";")[0]
        gone = client.post("/auth/logout", headers={"cookie": cookie})
        assert gone.status_code == 204 and "Max-Age=0" in gone.headers["set-cookie"]
        assert client.post("/auth/refresh", headers={"cookie": cookie}).status_code == 401


def test_registration_is_for_the_domains_only(service: Running, start: Start) -> None:
    with service.client() as client:
        new = {"email": "Ada@Example.ORG", "password": "a-long-password", "name": "Ada"}
        answer = client.post("/auth/register", json=new)
        assert answer.status_code == 201 and answer.json()["email"] == "ada@example.org"
        assert answer.json()["role"] == "user"
        assert client.post("/auth/register", json=new).json()["error"]["code"] == "email_taken"
        for email in ("eve@example.org.evil.com", "eve@evilexample.org", "eve@sub.example.org"):
            answer = client.post("/auth/register", json={**new, "email": email})
            assert answer.status_code == 403 and answer.json()["error"]["code"] == "registration_closed"
        short = client.post("/auth/register", json={**new, "email": "b@example.org", "password": "short"})
        assert short.status_code == 422
    closed = start()
    with closed.client() as client:
        assert client.get("/auth/config").json()["registration"] == {"open": False, "domains": []}
        assert client.post("/auth/register", json=new).status_code == 403


def make_user(service: Running, bearer: dict[str, str], **more: str) -> dict[str, Any]:
    new = {"email": f"{uuid.uuid4().hex}@example.com", "password": "a-long-password", "name": "Somebody", **more}
    with service.client(headers=bearer) as client:
        answer = client.post("/auth/users", json=new)
        assert answer.status_code == 201, answer.text
        return {**answer.json(), "password": new["password"]}


def test_a_new_password_ends_the_other_logins_only(service: Running, bearer: dict[str, str]) -> None:
    user = make_user(service, bearer)
    here, there = (service.login(user["email"], user["password"]) for _ in range(2))
    mine = {"authorization": f"Bearer {here['access_token']}"}
    with service.client() as client:
        wrong = client.post("/auth/password", headers=mine, json={"current": "not-that-one", "new": "another-password"})
        assert wrong.status_code == 403 and wrong.json()["error"]["code"] == "wrong_password"
        change = {"current": user["password"], "new": "another-password"}
        assert client.post("/auth/password", headers=mine, json=change).status_code == 204
        assert client.get("/auth/me", headers=mine).status_code == 200
        theirs = {"authorization": f"Bearer {there['access_token']}"}
        assert client.get("/auth/me", headers=theirs).status_code == 401
        assert client.post("/auth/refresh", json={"refresh_token": there["refresh_token"]}).status_code == 401
        assert (
            client.post("/auth/login", json={"email": user["email"], "password": user["password"]}).status_code == 401
        )
    service.login(user["email"], "another-password")


def test_a_disabled_user_is_refused_everywhere_and_can_come_back(service: Running, bearer: dict[str, str]) -> None:
    user = make_user(service, bearer)
    session = service.login(user["email"], user["password"])
    theirs = {"authorization": f"Bearer {session['access_token']}"}
    with service.client() as client:
        path = f"/auth/users/{user['id']}"
        assert client.patch(path, headers=bearer, json={"disabled": True}).json()["disabled"] is True
        assert client.get("/auth/me", headers=theirs).status_code == 401
        assert client.post("/auth/refresh", json={"refresh_token": session["refresh_token"]}).status_code in (401, 403)
        answer = client.post("/auth/login", json={"email": user["email"], "password": user["password"]})
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "disabled"
        assert user["id"] in client.get("/auth/revoked.json").json()["users"]
        assert client.patch(path, headers=bearer, json={"disabled": False}).json()["disabled"] is False
        assert user["id"] not in client.get("/auth/revoked.json").json()["users"]
        # what was issued before stays refused
        assert client.get("/auth/me", headers=theirs).status_code == 401
    service.login(user["email"], user["password"])


def test_admin_things_are_for_admins(service: Running, bearer: dict[str, str]) -> None:
    user = make_user(service, bearer)
    theirs = {"authorization": f"Bearer {service.login(user['email'], user['password'])['access_token']}"}
    with service.client() as client:
        for method, path, body in (
            ("GET", "/auth/users", None),
            ("POST", "/auth/users", {"email": "z@example.com", "password": "a-long-password", "name": "Z"}),
            ("PATCH", f"/auth/users/{user['id']}", {"role": "admin"}),
            ("POST", "/auth/keys/rotate", None),
        ):
            assert client.request(method, path, headers=theirs, json=body).status_code == 403
            assert client.request(method, path, json=body).status_code == 401


def test_the_last_admin_stays(service: Running, bearer: dict[str, str]) -> None:
    with service.client(headers=bearer) as client:
        mine = client.get("/auth/me").json()["id"]
        for change in ({"disabled": True}, {"role": "user"}):
            answer = client.patch(f"/auth/users/{mine}", json=change)
            assert answer.status_code == 409 and answer.json()["error"]["code"] == "last_admin"


def test_users_are_listed_in_pages_and_found(service: Running, bearer: dict[str, str]) -> None:
    made = {make_user(service, bearer, name="Zaphod B")["id"] for _ in range(5)}
    seen, cursor = [], ""
    with service.client(headers=bearer) as client:
        while True:
            page = client.get("/auth/users", params={"query": "zaphod", "limit": 2, "cursor": cursor}).json()
            seen += [user["id"] for user in page["users"]]
            if (cursor := page["next"]) is None:
                break
    assert len(seen) == 5 and set(seen) == made


def test_rotation_has_an_overlap_in_which_both_keys_verify(start: Start) -> None:
    service = start(KEY_LEAD_SECONDS="2", ACCESS_SECONDS="5")
    old = service.login()
    kid = jwt.get_unverified_header(old["access_token"])["kid"]
    mine = {"authorization": f"Bearer {old['access_token']}"}
    with service.client() as client:
        rotated = client.post("/auth/keys/rotate", headers=mine).json()
        assert set(jwks(service)) == {kid, rotated["kid"]}
        # published, but it does not sign yet
        assert jwt.get_unverified_header(service.login()["access_token"])["kid"] == kid
        again = client.post("/auth/keys/rotate", headers=mine)
        assert again.status_code in (409, 200)  # 409 unless making the key took longer than the wait
        while jwt.get_unverified_header((new := service.login())["access_token"])["kid"] == kid:
            time.sleep(0.1)
        fresh = {"authorization": f"Bearer {new['access_token']}"}
        assert client.get("/auth/me", headers=fresh).status_code == 200
        assert kid in jwks(service)


def test_after_a_theft_the_old_keys_are_good_for_nothing(start: Start) -> None:
    service = start()
    session = service.login()
    mine = {"authorization": f"Bearer {session['access_token']}"}
    with service.client() as client:
        rotated = client.post("/auth/keys/rotate", headers=mine, json={"revoke_old": True}).json()
        assert set(jwks(service)) == {rotated["kid"]}
        assert client.get("/auth/me", headers=mine).status_code == 401
        answer = client.post("/auth/refresh", json={"refresh_token": session["refresh_token"]})
        assert answer.status_code == 200


def test_logins_are_throttled_per_account_and_per_address(start: Start) -> None:
    service = start(LOGIN_ATTEMPTS_ACCOUNT="3", LOGIN_ATTEMPTS_ADDRESS="7", TRUSTED_PROXIES="127.0.0.1")

    def attempt(email: str, address: str, password: str = "wrong-password") -> httpx.Response:
        return client.post(
            "/auth/login", json={"email": email, "password": password}, headers={"x-forwarded-for": address}
        )

    with service.client() as client:
        # one account, from many addresses
        assert [attempt("admin@example.com", f"192.0.2.{n}").status_code for n in range(4)] == [401, 401, 401, 429]
        blocked = attempt("ADMIN@example.com", "192.0.2.9", ADMIN["password"])
        assert blocked.status_code == 429 and 0 < int(blocked.headers["retry-after"]) <= 901
        # many accounts, from one network
        codes = [attempt(f"u{n}@example.com", f"2001:db8::{n}").status_code for n in range(8)]
        assert codes == [401] * 7 + [429]
        assert attempt("u9@example.com", "2001:db8:0:1::1").status_code == 401
    # another process, or the same after a restart, knows of it
    assert service.stop() == 0
    service = start(data=service.data, LOGIN_ATTEMPTS_ACCOUNT="3", TRUSTED_PROXIES="127.0.0.1")
    with service.client() as client:
        assert attempt("admin@example.com", "192.0.2.77", ADMIN["password"]).status_code == 429


def test_a_good_login_forgives_the_account(start: Start) -> None:
    service = start(LOGIN_ATTEMPTS_ACCOUNT="3")
    with service.client() as client:
        for _ in range(3):
            for _ in range(2):
                assert client.post("/auth/login", json={**ADMIN, "password": "wrong"}).status_code == 401
            assert client.post("/auth/login", json=ADMIN).status_code == 200


def test_an_address_is_believed_from_trusted_proxies_only(start: Start) -> None:
    service = start(LOGIN_ATTEMPTS_ADDRESS="2", TRUSTED_PROXIES="203.0.113.1")
    with service.client() as client:
        codes = [
            client.post(
                "/auth/login",
                json={"email": f"u{n}@example.com", "password": "wrong"},
                headers={"x-forwarded-for": f"192.0.2.{n}"},
            ).status_code
            for n in range(3)
        ]
    assert codes == [401, 401, 429]


def test_errors_have_one_shape_and_logs_no_secret(service: Running) -> None:
    with service.client() as client:
        for answer in (
            client.get("/nowhere"),
            client.put("/auth/login"),
            client.post("/auth/login", content=b"{", headers={"content-type": "application/json"}),
            client.post("/auth/login", content=b"a=b", headers={"content-type": "application/x-www-form-urlencoded"}),
            client.post("/auth/login", json={"email": 1, "password": "a-secret-password"}),
            client.post("/auth/login", json={"email": "x" * 100_000, "password": ""}),
            client.post("/auth/login", json={"email": "x@example.com", "password": "a-secret-password"}),
        ):
            error = answer.json()["error"]
            assert set(error) == {"code", "message", "request_id"}
            assert error["request_id"] == answer.headers["x-request-id"]
        assert (
            client.get("/auth/healthz", headers={"x-request-id": "sane-id-0001"}).headers["x-request-id"]
            == "sane-id-0001"
        )
        assert client.get("/auth/healthz", headers={"x-request-id": "in\tsane"}).headers["x-request-id"] != "in\tsane"
        token = service.login()["access_token"]
    text = service.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert any(line["message"] == "request" and line["path"] == "/auth/login" for line in lines)
    for secret in ("a-secret-password", ADMIN["password"], token, "PRIVATE KEY"):
        assert secret not in text


def test_a_wrong_setting_ends_the_process_with_one_line(start: Start) -> None:
    with pytest.raises(AssertionError) as caught:
        start(ACCESS_SECONDS="soon", REGISTRATION_DOMAINS="nonsense", ADMIN_PASSWORD="")
    text = str(caught.value).splitlines()[0]
    assert all(name in text for name in ("ACCESS_SECONDS", "REGISTRATION_DOMAINS", "ADMIN_PASSWORD"))
    assert "Traceback" not in str(caught.value)


def test_term_ends_it_cleanly(start: Start) -> None:
    assert start().stop(signal.SIGTERM) == 0
