"""Desktops that come back, frames that are none, and processes that end, gently or not."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket as sockets
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from conftest import Start, client, facts, http, scenario, until
from desktop import Desktop
from proxy.frames import MAX_MESSAGE, MAX_PIECE, Data, End, Error, Ready, Request, Response, Window, decode, encode
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from world import Proxy, auth, token

SECRET = "the words that a person writes"


@scenario
async def test_without_a_desktop_the_answer_says_so_at_once(proxy: Proxy) -> None:
    async with http(proxy) as user, client(proxy) as socket:
        began = time.monotonic()
        answer = await user.get("/api/tags")
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "desktop_away"
        assert int(answer.headers["retry-after"]) > 0
        await socket.send(encode(Request(1, "GET", "/api/tags", ())))
        frame = decode(await socket.recv())
        assert isinstance(frame, Error) and frame.code == "desktop_away"
        assert time.monotonic() - began < 5  # nobody was waited for


@scenario
async def test_a_desktop_that_comes_back_finds_its_session_and_who_waited(proxy: Proxy) -> None:
    async with http(proxy) as user, client(proxy) as socket:
        async with Desktop(proxy, ms=20, tokens=10_000) as first:
            received = b""
            await socket.send(encode(Request(1, "POST", "/api/chat", ())))
            await socket.send(encode(Data(1, b"{}")))
            await socket.send(encode(End(1)))
            silent = asyncio.create_task(user.get("/api/silent"))
            with pytest.raises(httpx.RemoteProtocolError):
                async with user.stream("POST", "/api/chat", json={}) as answer:
                    async for part in answer.aiter_bytes():
                        received += part
                        if len(received) > 1000 and first.closed is None and len(first.asked) == 3:
                            await first.drop()
            assert json.loads(received.splitlines()[-1])["code"] == "desktop_lost"
            lost = await silent
            assert lost.status_code == 502 and lost.json()["error"]["code"] == "desktop_lost"
            async for message in socket:
                if isinstance(frame := decode(message), Error):
                    break
            assert frame == Error(1, "desktop_lost", "The connection to the desktop broke while it answered.")
        waiting = [asyncio.create_task(user.get("/api/tags")) for _ in range(3)]
        await socket.send(encode(Request(2, "GET", "/api/tags", ())))

        async def all_wait() -> bool:
            return bool((await facts(proxy))["streams"] == 4)

        await until(all_wait)
        async with Desktop(proxy) as second:
            assert [(await each).status_code for each in waiting] == [200, 200, 200]
            assert isinstance(decode(await socket.recv()), Response)
            assert len(second.asked) == 4
            assert (await facts(proxy))["desktop"] is True


@scenario
async def test_a_desktop_that_stays_away_is_not_waited_for_for_ever(start: Start) -> None:
    proxy = start(RECONNECT_SECONDS="1")
    async with http(proxy) as user:
        async with Desktop(proxy) as desktop:
            await desktop.drop()
        assert (await user.get("/api/tags")).json()["error"]["code"] == "desktop_away"


@scenario
async def test_two_desktops_that_take_turns_lose_no_request_that_waits(proxy: Proxy) -> None:
    async with http(proxy) as user:
        stop = asyncio.Event()
        codes: list[int] = []

        async def ask() -> None:
            while not stop.is_set():
                codes.append((await user.get("/api/tags")).status_code)

        async with Desktop(proxy):
            asking = [asyncio.create_task(ask()) for _ in range(4)]
            for _ in range(10):
                async with Desktop(proxy) as desktop:
                    await until(lambda d=desktop: len(d.asked) > 5)  # type: ignore[misc]
            stop.set()
            async with Desktop(proxy):
                await asyncio.gather(*asking)
        # What was under way when its desktop went is an error; everything else is an answer.
        assert set(codes) <= {200, 502} and codes.count(200) > 50


@scenario
async def test_a_side_that_answers_no_ping_is_gone(start: Start) -> None:
    proxy = start(PING_SECONDS="1")
    async with client(proxy) as alive:
        async with Desktop(proxy) as desktop:
            desktop.socket.transport.pause_reading()

            async def away() -> bool:
                return not (await facts(proxy))["desktop"]

            await until(away)
            desktop.socket.transport.abort()
        await alive.send(encode(Request(1, "GET", "/api/tags", ())))
        assert isinstance(decode(await alive.recv()), Error)


async def closed_after(proxy: Proxy, *messages: str | bytes, path: str = "/ws/desktop", role: str = "desktop") -> int:
    async with connect(f"{proxy.ws}{path}", proxy=None) as socket:
        await socket.send(auth(proxy.session, role))
        assert decode(await socket.recv()) == Ready(proxy.session)
        try:
            for message in messages:
                await socket.send(message)
            await asyncio.wait_for(socket.recv(), 10)
        except (ConnectionClosed, ConnectionClosedError):
            pass
        return socket.close_code or 0


@scenario
async def test_what_is_no_frame_ends_the_connection_and_nothing_else(proxy: Proxy) -> None:
    dice = random.Random(7)
    wrong: list[str | bytes] = [
        "", "{", "null", "[" * 50_000, '{"type":"end"}', '{"type":"nothing"}', b"", b"\0\0\0\1", b"\0\0\0\0a",
        encode(End(9)), encode(Response(9, 200, ())), encode(Data(9, b"x")), encode(Request(1, "GET", "/api/", ())),
        encode(Ready("x")), bytes(4) + bytes(MAX_PIECE + 1), *(dice.randbytes(dice.randrange(200)) for _ in range(20)),
    ]  # fmt: skip
    async with client(proxy) as bystander:
        for message in wrong:
            assert await closed_after(proxy, message) == 1002, message[:60]
            if not (isinstance(message, str) and '"request"' in message):
                assert await closed_after(proxy, message, path="/ws/client", role="client") == 1002, message[:60]
        assert await closed_after(proxy, "x" * (MAX_MESSAGE + 1)) == 1009
        assert await closed_after(proxy, b"x" * (MAX_MESSAGE + 1)) == 1009
        async with Desktop(proxy), http(proxy) as user:
            assert (await user.get("/api/tags")).status_code == 200
            await bystander.send(encode(Request(1, "GET", "/api/tags", ())))
            assert isinstance(decode(await bystander.recv()), Response)
        assert (await facts(proxy))["errors"] > 60


@scenario
async def test_a_desktop_that_answers_out_of_order_is_closed_and_who_asked_hears_of_it(proxy: Proxy) -> None:
    good = Response(1, 200, ())
    wrong: list[list[Response | Data | End | Window]] = [
        [Data(1, b"early")],
        [End(1)],
        [good, good],
        [good, *(Data(1, bytes(MAX_PIECE)) for _ in range(5))],
        [Window(1, 2**20)],
    ]
    for number, answer in enumerate(wrong):
        async with (
            connect(f"{proxy.ws}/ws/desktop", proxy=None) as desktop,
            connect(f"{proxy.ws}/ws/client", proxy=None) as socket,
        ):
            for one, role in ((desktop, "desktop"), (socket, "client")):
                await one.send(auth(proxy.session, role))
                assert decode(await one.recv()) == Ready(proxy.session)
            await socket.send(encode(Request(1, "GET", "/api/tags", ())))
            request = decode(await desktop.recv())
            assert isinstance(request, Request) and request.id == number + 1
            for frame in answer:
                await desktop.send(encode(replace(frame, id=request.id)))
            await desktop.wait_closed()
            assert desktop.close_code == 1002, answer
            async for message in socket:
                if isinstance(heard := decode(message), Error):
                    assert heard.code == "desktop_lost"
                    break


@scenario
async def test_bytes_that_are_no_http_and_no_websocket(proxy: Proxy) -> None:
    dice = random.Random(11)
    upgrade = (
        b"GET /ws/client HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    for given in (
        b"\r\n\r\n", b"GET\r\n\r\n", b"GET /api/tags HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        b"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 100_000, b"\x16\x03\x01" + bytes(200),
        upgrade.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"A"), upgrade + b"\xff" * 50, upgrade + b"\x81\x05hello",
        *(upgrade + dice.randbytes(100) for _ in range(10)), *(dice.randbytes(300) for _ in range(10)),
    ):  # fmt: skip
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(given)
        writer.write_eof()
        try:
            await asyncio.wait_for(reader.read(), 15)
        except ConnectionResetError:
            pass
        writer.close()
    async with Desktop(proxy), http(proxy) as user:
        assert (await user.get("/api/tags")).status_code == 200


@scenario
async def test_sigterm_lets_streams_end_and_ends_itself(start: Start) -> None:
    proxy = start()
    async with Desktop(proxy, ms=20, tokens=40) as desktop, client(proxy) as socket:
        async with http(proxy) as user, user.stream("POST", "/api/chat", json={}) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            os.kill(proxy.pid, signal.SIGTERM)
            rest = [line async for line in lines]
        assert len(rest) == 40 and json.loads(rest[-1])["done"]
        await socket.wait_closed()
        await until(lambda: desktop.closed is not None)
        assert socket.close_code == 1001 and desktop.closed == 1001
    assert await asyncio.to_thread(proxy.wait) == 0
    assert [line["message"] for line in proxy.lines()][-1] == "ended"


@scenario
async def test_sigterm_does_not_wait_for_ever(start: Start) -> None:
    proxy = start(DRAIN_SECONDS="1")
    async with Desktop(proxy), http(proxy) as user:
        asking = asyncio.create_task(user.get("/api/silent"))

        async def asked() -> bool:
            return bool((await facts(proxy))["streams"] == 1)

        await until(asked)
        os.kill(proxy.pid, signal.SIGTERM)
        answer = await asking
        assert answer.status_code == 502
    assert await asyncio.to_thread(proxy.wait) == 0


@scenario
async def test_sigterm_does_not_wait_for_who_does_not_listen(start: Start) -> None:
    proxy = start()
    async with Desktop(proxy) as desktop, client(proxy) as socket:
        for deaf in (desktop.socket, socket):
            deaf.transport.pause_reading()
        os.kill(proxy.pid, signal.SIGTERM)
        assert await asyncio.to_thread(proxy.wait) == 0
        for deaf in (desktop.socket, socket):
            deaf.transport.abort()
    assert "ended" in proxy.log.read_text()


@scenario
async def test_kill_and_start_again(start: Start) -> None:
    """The session is the same, and everybody comes back with a fresh token."""
    proxy = start()
    async with http(proxy) as user:
        async with Desktop(proxy, ms=20, tokens=1000) as desktop:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                async with user.stream("POST", "/api/chat", json={}) as answer:
                    async for _ in answer.aiter_lines():
                        if proxy.process is not None and proxy.process.poll() is None:
                            await asyncio.to_thread(proxy.stop, signal.SIGKILL)
            await until(lambda: desktop.closed is not None)
        await asyncio.to_thread(proxy.start, proxy.log)
        async with Desktop(proxy):
            assert (await user.get("/api/tags")).status_code == 200


@scenario
async def test_the_log_says_nothing_of_what_is_said(proxy: Proxy) -> None:
    shown = token(proxy.session)
    async with Desktop(proxy), client(proxy), http(proxy, authorization=f"Bearer {shown}") as user:
        await user.post("/api/chat", json={"prompt": SECRET})
        await user.get(f"/api/tags?q={SECRET}")
        await user.get("/api/refused")
        await user.get("/api/tags", headers={"authorization": f"Bearer {SECRET}"})
        await closed_after(proxy, SECRET)
    text = proxy.log.read_text()
    assert len(proxy.lines()) > 8
    for word in (SECRET, SECRET.replace(" ", "%20"), "w0", shown, "q="):
        assert word not in text


def test_nothing_is_written(start: Start, tmp_path: Path) -> None:
    """Not a file is open for writing, but for the log that is its output."""
    proxy = start()
    with sockets.create_connection(("127.0.0.1", proxy.port)):
        opened = [str(each.readlink()) for each in Path(f"/proc/{proxy.pid}/fd").iterdir()]
    files = [each for each in opened if each.startswith("/") and each not in ("/dev/null", str(proxy.log))]
    assert not files
