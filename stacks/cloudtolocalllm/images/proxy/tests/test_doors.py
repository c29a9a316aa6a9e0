"""Who is let in: tokens, the handshake of the WebSockets, renewal and expiry, paths, methods, origins."""

from __future__ import annotations

import asyncio
import json
import secrets
import time

import pytest
from conftest import Start, client, facts, http, scenario, until
from desktop import Desktop
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from proxy.frames import End, Ready, Request, decode, encode
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from world import PORTAL, Proxy, auth, key_of, session_id, token


async def refused(proxy: Proxy, first: str | bytes, path: str = "/ws/client") -> int:
    """The code with which a WebSocket that begins like this is closed."""
    async with connect(f"{proxy.ws}{path}", proxy=None) as socket:
        await socket.send(first)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code is not None
        return socket.close_code


def made(session: str, seconds_ago: float, **changed: object) -> str:
    """A token that was signed at another time."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - seconds_ago)

    payload = {"sid": session, "role": "client", "until": int(time.time() + 300), "id": secrets.token_hex(8)}
    return str(URLSafeTimedSerializer(key_of(session), salt="session", signer=Then).dumps({**payload, **changed}))


@scenario
async def test_health_needs_no_token_and_counters_need_one(proxy: Proxy) -> None:
    async with http(proxy, authorization="") as anyone:
        answer = await anyone.get("/health")
        assert answer.json()["status"] == "healthy" and answer.json()["timestamp"].endswith("Z")
        assert (await anyone.get("/session")).status_code == 401
    async with http(proxy, "client") as user:
        assert (await user.get("/session")).status_code == 403
    found = await facts(proxy)
    assert found["sessionId"] == proxy.session and found["desktop"] is False
    assert set(found) == {
        "sessionId", "started", "lastActivity", "clients", "desktop", "streams", "requests", "errors", "bytesIn",
        "bytesOut", "latencyMs", "residentBytes",
    }  # fmt: skip


@scenario
async def test_a_token_opens_its_own_session_in_its_own_role_only(start: Start) -> None:
    mine, other = start(), start()
    async with Desktop(mine):
        for wrong, status in (
            ("nonsense", 401),
            (token(other.session), 401),  # another user's: signed with another key
            (token(mine.session, sid=other.session), 403),
            (token(mine.session, "desktop"), 403),
            (token(mine.session, "control"), 403),
            (token(mine.session, "admin"), 401),
            (token(mine.session, seconds=-1), 401),
            (token(mine.session)[:-1], 401),
            (token(mine.session, id="short"), 401),
            (token(mine.session, until="never"), 401),
        ):
            async with http(mine, authorization=f"Bearer {wrong}") as user:
                answer = await user.get("/api/tags")
                assert (answer.status_code, "error" in answer.json()) == (status, True), wrong
        async with http(mine) as user:
            assert (await user.get("/api/tags")).status_code == 200
            assert (await user.get("/api/tags")).status_code == 200  # a request may show it again


@scenario
async def test_a_websocket_is_let_in_by_its_first_message(start: Start) -> None:
    proxy, other = start(HANDSHAKE_SECONDS="1"), start()
    mine = proxy.session
    for first, code in (
        (auth(mine, "desktop"), 4403),
        (auth(mine, "control"), 4403),
        (auth(mine, "client", sid=other.session), 4403),
        (auth(other.session, "client", with_token=token(mine)), 4403),
        (auth(mine, "client", with_token=token(other.session)), 4401),
        (auth(mine, "client", seconds=-1), 4401),
        (auth(mine, "client", age=31), 4401),
        (auth(mine, "client", age=-31), 4401),
        (encode(Request(1, "GET", "/api/tags", ())), 4401),
        ("{}", 1002),
        (b"\0", 1002),
    ):
        assert await refused(proxy, first) == code, first
    assert await refused(proxy, auth(mine, "client"), "/ws/desktop") == 4403
    async with connect(f"{proxy.ws}/ws/client", proxy=None) as silent:
        with pytest.raises(ConnectionClosed):
            await silent.recv()
        assert silent.close_code == 4401
    async with client(proxy), client(proxy):
        assert (await facts(proxy))["clients"] == 2


@scenario
async def test_a_token_opens_one_websocket_and_no_second(proxy: Proxy) -> None:
    used = token(proxy.session)
    first = auth(proxy.session, "client", with_token=used)
    async with connect(f"{proxy.ws}/ws/client", proxy=None) as socket:
        await socket.send(first)
        assert decode(await socket.recv()) == Ready(proxy.session)
        assert await refused(proxy, first) == 4409
        assert await refused(proxy, auth(proxy.session, "client", with_token=used)) == 4409
        await socket.send(first)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4409


@scenario
async def test_a_token_from_before_a_restart_opens_nothing(start: Start) -> None:
    """The memory of used tokens went with the process."""
    proxy = start()
    async with Desktop(proxy):
        before = made(proxy.session, 7)
        assert await refused(proxy, auth(proxy.session, "client", with_token=before)) == 4401
        fresh = made(proxy.session, 3)
        async with connect(f"{proxy.ws}/ws/client", proxy=None) as socket:
            await socket.send(auth(proxy.session, "client", with_token=fresh))
            assert decode(await socket.recv()) == Ready(proxy.session)
        async with http(proxy, authorization=f"Bearer {made(proxy.session, 7)}") as user:
            assert (await user.get("/api/tags")).status_code == 200


@scenario
async def test_a_connection_ends_a_little_after_its_token_unless_it_brings_a_fresh_one(start: Start) -> None:
    proxy = start(GRACE_SECONDS="1")
    async with (
        connect(f"{proxy.ws}/ws/client", proxy=None) as old,
        connect(f"{proxy.ws}/ws/client", proxy=None) as renewed,
    ):
        for socket in (old, renewed):
            await socket.send(auth(proxy.session, "client", seconds=2))
            assert decode(await socket.recv()) == Ready(proxy.session)
        await renewed.send(auth(proxy.session, "client"))
        assert decode(await renewed.recv()) == Ready(proxy.session)
        with pytest.raises(ConnectionClosed):
            await old.recv()
        assert old.close_code == 4408
        await renewed.send(encode(Request(1, "GET", "/api/tags", ())))
        assert '"desktop_away"' in str(await renewed.recv())


@scenario
async def test_a_renewal_for_another_role_ends_the_connection(proxy: Proxy) -> None:
    async with client(proxy) as socket:
        await socket.send(auth(proxy.session, "desktop"))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4403


@scenario
async def test_paths_and_methods_that_are_not_the_models(proxy: Proxy) -> None:
    async with Desktop(proxy) as desktop, http(proxy) as user, client(proxy) as socket:
        for method, path, status in (
            ("GET", "/", 404),
            ("GET", "/metrics", 404),
            ("GET", "/apis", 404),
            ("PUT", "/api/tags", 405),
            ("PATCH", "/v1/models", 405),
            ("POST", "/health", 405),
            ("GET", "/ws/client", 426),
            ("GET", "/api/%2e%2e/session", 403),
            ("GET", "/api//tags", 403),
        ):
            answer = await user.request(method, path)
            assert answer.status_code == status and answer.json()["error"]["code"], (method, path)
        for number, (method, path) in enumerate((("PUT", "/api/tags"), ("GET", "/health"), ("GET", "/api/../x")), 1):
            await socket.send(encode(Request(number, method, path, ())))
            assert json.loads(await socket.recv())["code"] == "not_allowed"
        assert desktop.asked == []
        assert (await user.get("/api/unknown")).json()["error"]["code"] == "unknown"


@scenario
async def test_only_the_portals_pages_may_ask(proxy: Proxy) -> None:
    async with Desktop(proxy), http(proxy) as user:
        portal, evil = {"origin": PORTAL}, {"origin": "https://portal.example.com.evil.example"}
        answer = await user.get("/api/tags", headers=portal)
        assert answer.headers["access-control-allow-origin"] == PORTAL and answer.headers["vary"] == "Origin"
        answer = await user.get("/api/tags", headers=evil)
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
        answer = await user.options("/api/chat", headers={**portal, "authorization": ""})
        assert answer.status_code == 204 and "Authorization" in answer.headers["access-control-allow-headers"]
        assert (await user.options("/api/chat", headers=evil)).status_code == 403
        answer = await user.get("/api/tags", headers={**portal, "authorization": "Bearer x"})
        assert answer.status_code == 401 and answer.headers["access-control-allow-origin"] == PORTAL
    async with connect(f"{proxy.ws}/ws/client", proxy=None, origin=PORTAL) as socket:  # type: ignore[arg-type]
        await socket.send(auth(proxy.session, "client"))
        assert decode(await socket.recv()) == Ready(proxy.session)
    with pytest.raises(InvalidStatus) as wrong:
        async with connect(f"{proxy.ws}/ws/client", proxy=None, origin="https://evil.example"):  # type: ignore[arg-type]
            pass
    assert wrong.value.response.status_code == 403


@scenario
async def test_a_second_desktop_takes_the_place_of_the_first(proxy: Proxy) -> None:
    async with Desktop(proxy) as first, Desktop(proxy) as second, http(proxy) as user:
        await until(lambda: first.closed is not None)
        assert first.closed == 4410
        assert (await user.get("/api/tags")).status_code == 200
        assert len(second.asked) == 1 and not first.asked
        assert (await facts(proxy))["desktop"] is True


@scenario
async def test_clients_have_a_number(proxy: Proxy) -> None:
    sockets = [await connect(f"{proxy.ws}/ws/client", proxy=None) for _ in range(17)]
    for socket in sockets[:16]:
        await socket.send(auth(proxy.session, "client"))
        assert decode(await socket.recv()) == Ready(proxy.session)
    await sockets[16].send(auth(proxy.session, "client"))
    with pytest.raises(ConnectionClosed):
        await sockets[16].recv()
    assert sockets[16].close_code == 1013
    await asyncio.gather(*(socket.close() for socket in sockets))

    async def none() -> bool:
        return not (await facts(proxy))["clients"]

    await until(none)


@scenario
async def test_a_client_that_says_what_a_desktop_says_is_closed(proxy: Proxy) -> None:
    async with Desktop(proxy), client(proxy) as socket:
        await socket.send(encode(End(1)))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1002


def test_settings_that_are_wrong_are_named_and_not_shown() -> None:
    from proxy.settings import SettingsError, from_environment

    with pytest.raises(SettingsError) as wrong:
        from_environment({"SESSION_ID": "No", "SESSION_KEY": "a-secret", "PORT": "99999"})
    for name in ("SESSION_ID", "SESSION_KEY", "PORTAL_ORIGIN", "PORT"):
        assert name in str(wrong.value)
    assert "a-secret" not in str(wrong.value)
    given = {"SESSION_ID": session_id(), "SESSION_KEY": "0" * 64, "PORTAL_ORIGIN": PORTAL, "PORT": "8080"}
    assert from_environment(given).port == 8080
