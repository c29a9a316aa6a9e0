"""What passes: answers piece by piece, headers, credit in both directions; and how a side hears that the other ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator

import httpx
import pytest
from conftest import Start, client, facts, http, scenario, until
from desktop import Desktop
from proxy.frames import (
    MAX_BODY,
    MAX_PIECE,
    WINDOW,
    Cancel,
    Data,
    End,
    Error,
    Frame,
    Request,
    Response,
    Window,
    decode,
    encode,
    pieces,
)
from websockets.asyncio.client import ClientConnection
from world import PORTAL, Proxy

MANY = 64 * 2**20
KERNEL = 16 * 2**20
"""What the sockets' buffers of this machine may hold, generously, beside what the proxy keeps."""


async def told(socket: ClientConnection) -> AsyncIterator[Frame]:
    """Frames up to the end of one stream."""
    async for message in socket:
        yield (frame := decode(message))
        if isinstance(frame, End | Error):
            return


@scenario
async def test_ollamas_stream_comes_piece_by_piece(proxy: Proxy) -> None:
    """Each piece is read before the stand-in sends the next one."""
    async with Desktop(proxy, ms=30) as desktop, http(proxy) as user:
        async with user.stream("POST", "/api/chat", json={"model": "standin"}) as answer:
            assert answer.headers["content-type"] == "application/x-ndjson"
            numbers = []
            async for line in answer.aiter_lines():
                said = json.loads(line)
                numbers.append(desktop.asked[0].sent)
                if said["done"]:
                    break
        assert len(set(numbers)) > 6, numbers
        assert desktop.asked[0].request.method == "POST"
    found = proxy.lines()
    assert [line["code"] for line in found if line["message"] == "request"] == [None]


@scenario
async def test_openais_stream(proxy: Proxy) -> None:
    async with (
        Desktop(proxy) as desktop,
        http(proxy) as user,
        user.stream("POST", "/v1/chat/completions", json={"stream": True}) as answer,
    ):
        events = [line[6:] async for line in answer.aiter_lines() if line]
    assert events[-1] == "[DONE]" and len(events) == desktop.tokens + 1
    assert json.loads(events[0])["choices"][0]["delta"]["content"] == "w0 "


@scenario
async def test_a_client_on_its_websocket_speaks_frames(proxy: Proxy) -> None:
    async with Desktop(proxy) as desktop, client(proxy) as socket:
        await socket.send(encode(Request(7, "POST", "/api/chat", (("cookie", "a"), ("accept", "b")))))
        await socket.send(encode(Data(7, b'{"model":"standin"}')))
        await socket.send(encode(End(7)))
        found = [frame async for frame in told(socket)]
        assert found[0] == Response(7, 200, (("content-type", "application/x-ndjson"),)) and found[-1] == End(7)
        lines = b"".join(frame.body for frame in found if isinstance(frame, Data)).splitlines()
        assert len(lines) == desktop.tokens + 1 and json.loads(lines[-1])["done"]
        assert desktop.asked[0].request.headers == (("accept", "b"),)


@scenario
async def test_many_at_once_on_one_connection_each_gets_its_own(proxy: Proxy) -> None:
    async with Desktop(proxy, ms=5, tokens=20), http(proxy) as user:

        async def one(number: int) -> int:
            body = {"options": {"num_predict": number}}
            return len((await user.post("/api/chat", json=body)).text.splitlines())

        assert await asyncio.gather(*(one(number) for number in range(1, 31))) == list(range(2, 32))
        assert (await facts(proxy))["streams"] == 0


@scenario
async def test_headers_that_pass_and_those_that_do_not(proxy: Proxy) -> None:
    async with Desktop(proxy), http(proxy) as user:
        given = {
            "origin": PORTAL, "cookie": "a=b", "x-forwarded-for": "203.0.113.9", "x-one": "1", "connection": "x-one",
            "x-two": "2", "te": "trailers", "referer": f"{PORTAL}/chat",
        }  # fmt: skip
        answer = await user.get("/api/headers?a=1&b=%20", headers=given)
        said = answer.json()
        assert said["path"] == "/api/headers?a=1&b=%20"
        assert set(said["headers"]) == {"accept", "accept-encoding", "user-agent", "x-two"}
        assert answer.headers["x-two"] == "2" and "x-one" not in answer.headers
        assert "set-cookie" not in answer.headers and answer.headers["access-control-allow-origin"] == PORTAL
        assert answer.headers["x-content-type-options"] == "nosniff"
        head = await user.head("/api/tags")
        assert head.headers["content-length"] == "38" and head.content == b""
        assert (await user.request("DELETE", "/api/delete", content=b"x")).json()["bytes"] == 1


@scenario
async def test_a_body_goes_up_in_pieces_and_whole(proxy: Proxy) -> None:
    body = os.urandom(5 * 2**20)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 300_000):
            yield body[start : start + 300_000]

    async with Desktop(proxy), http(proxy) as user, client(proxy) as socket:
        expected = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        assert (await user.post("/api/blobs", content=body)).json() == expected
        assert (await user.post("/api/blobs", content=parts())).json() == expected
        await socket.send(encode(Request(1, "POST", "/api/blobs", ())))
        credit = WINDOW
        for piece in pieces(1, body):
            while credit < len(piece.body):
                frame = decode(await socket.recv())
                assert isinstance(frame, Window)
                credit += frame.bytes
            credit -= len(piece.body)
            await socket.send(encode(piece))
        await socket.send(encode(End(1)))
        data = [frame.body async for frame in told(socket) if isinstance(frame, Data)]
        assert json.loads(b"".join(data)) == expected
        assert (await facts(proxy))["bytesIn"] == 3 * len(body)


@scenario
async def test_who_reads_slowly_over_http_stops_the_model(proxy: Proxy) -> None:
    async with Desktop(proxy) as desktop, http(proxy) as user:
        before = proxy.resident()
        async with user.stream("GET", f"/api/flood?{MANY}") as answer:
            await settled(desktop)
            stopped = desktop.asked[0].sent
            assert stopped < KERNEL and proxy.resident() - before < 8
            assert (await user.get("/api/tags")).status_code == 200  # nobody else has to wait
            size = 0
            async for part in answer.aiter_bytes():
                size += len(part)
        assert size == MANY and proxy.resident() - before < 12


@scenario
async def test_who_gives_no_credit_on_a_websocket_stops_the_model(proxy: Proxy) -> None:
    async with Desktop(proxy) as desktop, client(proxy) as socket:
        before = proxy.resident()
        await socket.send(encode(Request(1, "GET", f"/api/flood?{MANY}", ())))
        await settled(desktop)
        assert desktop.asked[0].sent == WINDOW and proxy.resident() - before < 8
        size = 0
        async for frame in told(socket):
            if isinstance(frame, Data):
                size += len(frame.body)
                await socket.send(encode(Window(1, len(frame.body))))
        assert size == MANY and proxy.resident() - before < 12


@scenario
async def test_a_desktop_that_takes_nothing_stops_who_sends(start: Start) -> None:
    proxy = start(STREAM_IDLE_SECONDS="5")
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield bytes(2**16)
            sent += 2**16

    async with Desktop(proxy) as desktop, http(proxy) as user, client(proxy) as socket:
        before = proxy.resident()
        posting = asyncio.create_task(user.post("/api/slow", content=endless()))
        last = -1
        while sent != last or not sent:
            last = sent
            await asyncio.sleep(0.5)
        assert sent < KERNEL and proxy.resident() - before < 8
        assert (await user.get("/api/tags")).status_code == 200
        with pytest.raises((httpx.WriteError, httpx.ReadError, AssertionError)):
            assert (await posting).is_success
        await until(lambda: desktop.asked[0].cancelled)
        # On a WebSocket it is the client that has to keep to its credit.
        await socket.send(encode(Request(1, "POST", "/api/slow", ())))
        for _ in range(WINDOW // MAX_PIECE + 1):
            await socket.send(encode(Data(1, bytes(MAX_PIECE))))
        await socket.wait_closed()
        assert socket.close_code == 1002 and socket.close_reason == "flow"


async def settled(desktop: Desktop) -> None:
    """Until the desktop has not sent for half a second."""
    last = -1
    while not desktop.asked or desktop.asked[0].sent != last:
        last = desktop.asked[0].sent if desktop.asked else -1
        await asyncio.sleep(0.5)


@scenario
async def test_a_body_may_be_32_mebibytes(proxy: Proxy) -> None:
    async with Desktop(proxy) as desktop, http(proxy) as user, client(proxy) as socket:
        assert (await user.post("/api/blobs", content=bytes(MAX_BODY))).json()["bytes"] == MAX_BODY

        async def more() -> AsyncIterator[bytes]:
            for _ in range(MAX_BODY // 2**20 + 1):
                yield bytes(2**20)

        for content in (bytes(MAX_BODY + 1), more()):
            try:
                answer = await user.post("/api/blobs", content=content)
                assert answer.status_code == 413 and answer.json()["error"]["code"] == "body_too_large"
            except httpx.WriteError:
                pass  # who is still writing may not get to read why
        assert (await user.get("/api/tags")).status_code == 200
        assert [asked.cancelled for asked in desktop.asked if asked.request.method == "POST"] == [False, True]
        await socket.send(encode(Request(1, "POST", "/api/blobs", ())))
        credit, sent = WINDOW, 0
        while sent <= MAX_BODY:
            while credit < MAX_PIECE:
                frame = decode(await socket.recv())
                assert isinstance(frame, Window)
                credit += frame.bytes
            await socket.send(encode(Data(1, bytes(MAX_PIECE))))
            credit, sent = credit - MAX_PIECE, sent + MAX_PIECE
        frames = [frame async for frame in told(socket)]
        assert isinstance(frames[-1], Error) and frames[-1].code == "body_too_large"


@scenario
async def test_streams_have_a_number(proxy: Proxy) -> None:
    async with Desktop(proxy) as desktop, client(proxy) as socket, http(proxy) as user:
        for number in range(1, 34):
            await socket.send(encode(Request(number, "GET", "/api/silent", ())))
        frame = decode(await socket.recv())
        assert isinstance(frame, Error) and (frame.id, frame.code) == (33, "too_many_streams")
        answer = await user.get("/api/tags")
        assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
        await socket.send(encode(Cancel(5)))
        await until(lambda: desktop.asked[4].cancelled)
        assert (await user.get("/api/tags")).status_code == 200


@scenario
async def test_a_client_that_goes_away_stops_the_model(proxy: Proxy) -> None:
    async with Desktop(proxy, ms=50, tokens=1000) as desktop, http(proxy) as user:
        async with user.stream("POST", "/api/chat", json={}) as answer:
            await anext(answer.aiter_lines())
        await until(lambda: desktop.asked[0].cancelled)
        with pytest.raises(httpx.ReadTimeout):
            await user.get("/api/silent", timeout=0.3)
        await until(lambda: desktop.asked[1].cancelled)
        async with client(proxy) as socket:
            await socket.send(encode(Request(1, "GET", "/api/silent", ())))
            await until(lambda: len(desktop.asked) == 3)
        await until(lambda: desktop.asked[2].cancelled)
        assert (await facts(proxy))["streams"] == 0
    assert [line["code"] for line in proxy.lines() if line["message"] == "request"] == ["cancelled", "cancelled"]


@scenario
async def test_errors_of_the_desktop_reach_who_asked(proxy: Proxy) -> None:
    async with Desktop(proxy), http(proxy) as user, client(proxy) as socket:
        answer = await user.get("/api/refused")
        assert answer.status_code == 502
        assert answer.json() == {"error": {"code": "model_unreachable", "message": "No model's server is there."}}
        for kind, expected in (("ndjson", b'"code": "model_lost"}'), ("sse", b'data: {"error": {"code": "model_lost"')):
            received = b""
            with pytest.raises(httpx.RemoteProtocolError):
                async with user.stream("GET", f"/api/broken?{kind}") as answer:
                    async for part in answer.aiter_bytes():
                        received += part
            assert received.startswith(b'{"n":1}\n') and expected in received
        with pytest.raises(httpx.RemoteProtocolError):
            await user.get("/api/lies")
        await socket.send(encode(Request(1, "GET", "/api/broken?sse", ())))
        found = [frame async for frame in told(socket)]
        assert found[-1] == Error(1, "model_lost", "The model's server went away.")
        assert (await user.get("/api/tags")).status_code == 200


@scenario
async def test_a_stream_on_which_nothing_moves_ends(start: Start) -> None:
    proxy = start(STREAM_IDLE_SECONDS="1")
    async with Desktop(proxy, ms=200, tokens=20) as desktop, http(proxy) as user:
        chatting = asyncio.create_task(user.post("/api/chat", json={}))
        answer = await user.get("/api/silent")
        assert answer.status_code == 504 and answer.json()["error"]["code"] == "timeout"
        await until(lambda: {each.path for each in desktop.asked if each.cancelled} == {"/api/silent"})
        assert len((await chatting).text.splitlines()) == 21
