"""Requests that come from the cloud, carried to the model and back."""

from __future__ import annotations

import asyncio

import pytest
from cloud_standin import cloud_server
from model_standin import model_server, texts
from scene import bridging, run

from ctl.bridge.frames import WINDOW, Close, Data, Request, encode


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/chat", "application/x-ndjson"), ("/v1/chat/completions", "text/event-stream")]
)
def test_an_answer_comes_chunk_by_chunk(path: str, kind: str) -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            exchange = await cloud.ask("POST", path, b'{"model":"m"}', headers={"content-type": "application/json"})
            head = await exchange.head
            assert head.status == 200 and dict(head.headers)["content-type"] == kind
            for number in range(3):
                assert exchange.pieces.empty()  # the model says nothing before it is let
                model.words.release()
                piece = await exchange.pieces.get()
                assert piece is not None and f"word{number}" in piece.decode()
            assert await exchange.rest() == b""
            assert scene.bridge.status.requests == 1 and scene.bridge.status.active == 0
            assert scene.bridge.status.bytes_in == 13 and scene.bridge.status.bytes_out == exchange.size

    run(work)


def test_headers_that_are_no_business_of_the_other_side() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model):
            headers = {
                "accept": "x/y",
                "authorization": "Bearer secret",
                "cookie": "a=b",
                "origin": "https://ai.example.com",
                "x-forwarded-for": "1.2.3.4",
                "connection": "x-hop",
                "x-hop": "1",
                "x-mine": "1",
            }
            exchange = await cloud.ask("GET", "/v1/models?limit=1", headers=headers)
            back = dict((await exchange.head).headers)
            assert (await exchange.rest()) == b'{"data":[]}'
            assert back["x-one"] == "1" and not {"set-cookie", "keep-alive", "date", "server"} & set(back)
            method, path, seen, _ = next(each for each in model.seen if each[1].startswith("/v1/models"))
            assert (method, path) == ("GET", "/v1/models?limit=1")
            assert {name.lower(): text for name, text in seen.items()} == {
                "host": f"127.0.0.1:{model.port}",
                "accept": "x/y",
                "x-mine": "1",
                "connection": "close",
            }

    run(work)


def test_a_large_body_and_many_at_once() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            size = 5 * 2**20
            exchanges = await asyncio.gather(*(cloud.ask("POST", "/api/embed", b"x" * size) for _ in range(8)))
            for exchange in exchanges:
                assert await exchange.rest() == b'{"length": 5242880}'
            await scene.until(lambda: scene.bridge.status.active == 0)

    run(work)


def test_a_slow_reader_stops_the_model() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model):
            slow = await cloud.ask("GET", "/api/flood", reads=False)
            while slow.size < WINDOW:
                await asyncio.sleep(0.01)
            before = -1
            while model.written != before:  # until the sockets between them are full
                before = model.written
                await asyncio.sleep(0.3)
            assert slow.size == WINDOW and model.written < 32 * 2**20
            other = await cloud.ask("GET", "/api/version")  # nobody else waits for him
            assert (await other.head).status == 200
            slow.reads = True
            await slow.give(slow.size)
            assert len(await slow.rest()) == 64 * 2**20

    run(work)


def test_cancel_stops_the_model() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            exchange = await cloud.ask("POST", "/api/chat", b"{}")
            model.words.release()
            assert await exchange.pieces.get()
            await exchange.cancel()
            await model.dropped.wait()
            assert scene.bridge.status.active == 0
            at_once = await cloud.ask("POST", "/api/chat", b"{}")
            await at_once.cancel()  # perhaps before it has begun
            await scene.until(lambda: scene.bridge.status.active == 0)
            again = await cloud.ask("GET", "/api/version")
            assert (await again.head).status == 200

    run(work)


def test_a_lost_connection_stops_the_model() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model):
            await cloud.ask("POST", "/api/chat", b"{}")
            await model.begun.wait()
            cloud.cut()
            await model.dropped.wait()

    run(work)


def test_a_local_server_that_is_away() -> None:
    async def work() -> None:
        async with cloud_server() as cloud:
            async with model_server() as model:
                port = model.port
            async with bridging(cloud, f"http://127.0.0.1:{port}") as scene:
                for body in (b"", b"x" * 2**20):
                    exchange = await cloud.ask("POST", "/api/chat", body)
                    head = await exchange.head
                    assert head.status == 502 and b'"local_away"' in await exchange.rest()
                await scene.until(lambda: scene.bridge.status.active == 0)
                assert "connection refused" in scene.bridge.status.last_error
                async with model_server(port) as model:
                    exchange = await cloud.ask("POST", "/api/chat", b"{}")
                    model.words.release()
                    model.words.release()
                    model.words.release()
                    assert texts(await exchange.rest()) == ["word0", "word1", "word2"]

    run(work)


def test_an_answer_that_breaks_off_is_an_error() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model):
            exchange = await cloud.ask("GET", "/api/cut")
            assert await exchange.rest() == b"a part"
            assert exchange.error and exchange.error.code == "local_cut"

    run(work)


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/../metrics", "/api/%2e%2e/metrics", "/apis/x"])
def test_paths_outside_are_refused(path: str) -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model):
            exchange = await cloud.ask("GET", path)
            assert (await exchange.head).status == 403 and b'"not_carried"' in await exchange.rest()
            assert {each[1] for each in model.seen} == {"/api/version"}  # what the bridge itself looks at

    run(work)


def test_a_redirect_is_not_followed() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model):
            exchange = await cloud.ask("GET", "/v1/elsewhere")
            head = await exchange.head
            assert head.status == 302 and dict(head.headers)["location"] == "http://203.0.113.1/"

    run(work)


def test_more_streams_than_there_may_be() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model):
            first = [await cloud.ask("POST", "/api/chat", b"{}") for _ in range(32)]
            over = await cloud.ask("POST", "/api/chat", b"{}")
            await over.rest()
            assert over.error and over.error.code == "too_many_streams"
            for exchange in first:
                await exchange.head
                for _ in range(3):
                    model.words.release()
            for exchange in first:
                assert len(texts(await exchange.rest())) == 3

    run(work)


@pytest.mark.parametrize(
    "messages",
    [
        ["not json"],
        [encode(Data(7, b"of no stream"))],
        [encode(Request(1, "POST", "/api/chat", ())), encode(Request(1, "POST", "/api/chat", ()))],
        [encode(Request(1, "POST", "/api/chat", ()))] + [encode(Data(1, b"x" * 65536))] * 200,
    ],
)
def test_a_proxy_that_breaks_the_protocol_is_left(messages: list[str | bytes]) -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            await cloud.there.wait()
            socket = cloud.socket
            assert socket is not None
            for message in messages:
                try:
                    await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
                except ConnectionError:
                    break
            await scene.until(lambda: socket.closed)
            assert socket.close_code == Close.PROTOCOL
            await scene.until(lambda: cloud.socket not in (None, socket))  # and tried again

    run(work)
