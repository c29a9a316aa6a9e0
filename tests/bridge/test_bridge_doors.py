"""The doors of this machine: who may come in, and what they get."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jwt
import pytest
from cloud_standin import KEY, OTHER_KEY, Cloud, cloud_server, token
from model_standin import Model, model_server, texts
from scene import bridging, run
from yarl import URL

from ctl.bridge.doors import own_door, serving
from ctl.bridge.guard import Guard, guarded
from ctl.bridge.local import Local, local_http
from ctl.bridge.login import GivenToken
from ctl.bridge.reaching import Failed, tls
from ctl.bridge.wording import Status
from ctl.core.errors import UsageError
from ctl.core.secret import Secret

PORTAL = "https://ai.example.com"


@asynccontextmanager
async def guarded_door(cloud: Cloud, model: Model, own: str = "") -> AsyncIterator[str]:
    async with aiohttp.ClientSession() as http, local_http(tls(None)) as near:
        guard = await Guard.of(http, cloud.base, GivenToken(Secret("own", own or token())))
        async with serving(guarded(guard, PORTAL, Local(near, model.url), Status(0)), "127.0.0.1", 0) as port:
            yield f"http://127.0.0.1:{port}"


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


BAD = {
    "none": {},
    "no bearer": {"Authorization": f"Basic {token()}"},
    "no token": bearer("no.token.at-all"),
    "of another person": bearer(token(sub="user-2")),
    "of another key": bearer(token(key=OTHER_KEY)),
    "run out": bearer(token(seconds=-60)),
    "of another issuer": bearer(token(iss="other")),
    "for another audience": bearer(token(aud="other")),
    "without an end": bearer(token(exp=None)),
    "signed with nothing": bearer("eyJhbGciOiJub25lIiwia2lkIjoiazEifQ." + token().split(".")[1] + "."),
}


@pytest.mark.parametrize("headers", BAD.values(), ids=BAD)
def test_the_guard_turns_away(headers: dict[str, str]) -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, guarded_door(cloud, model) as door:
            async with aiohttp.ClientSession() as http, http.get(f"{door}/api/version", headers=headers) as answer:
                assert answer.status == 401 and (await answer.json())["error"]["code"] == "invalid_token"
            assert model.seen == []

    run(work)


def test_the_guard_lets_in_its_person_chunk_by_chunk() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, guarded_door(cloud, model) as door:
            headers = {**bearer(token(seconds=300)), "Origin": PORTAL}
            async with aiohttp.ClientSession() as http:
                async with http.post(f"{door}/api/chat", json={}, headers=headers) as answer:
                    assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
                    for number in range(3):
                        model.words.release()
                        assert texts(await answer.content.readline()) == [f"word{number}"]
                async with http.get(f"{door}/metrics", headers=headers) as answer:
                    assert answer.status == 403 and answer.headers["Access-Control-Allow-Origin"] == PORTAL
            assert "Authorization" not in model.seen[0][2] and "Origin" not in model.seen[0][2]

    run(work)


@pytest.mark.parametrize(("origin", "status"), [(PORTAL, 204), ("https://evil.example", 401)])
def test_only_the_portal_may_ask_across_origins(origin: str, status: int) -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, guarded_door(cloud, model) as door:
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            async with aiohttp.ClientSession() as http, http.options(f"{door}/api/chat", headers=headers) as answer:
                assert answer.status == status
                assert answer.headers.get("Access-Control-Allow-Origin") == (PORTAL if status == 204 else None)

    run(work)


def test_keys_that_are_asked_for_when_a_new_one_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctl.bridge.guard.AGAIN_SECONDS", 0.2)

    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, guarded_door(cloud, model) as door:
            claims = jwt.decode(token(), options={"verify_signature": False})
            unknown = jwt.encode(claims, KEY, "RS256", {"kid": "k2"})
            async with aiohttp.ClientSession() as http:
                for _ in range(5):  # whoever asks with nonsense does not make us ask each time
                    async with http.get(f"{door}/api/version", headers=bearer(unknown)) as answer:
                        assert answer.status == 401
                assert cloud.asked.count("GET /.well-known/jwks.json") == 1
                await asyncio.sleep(0.3)
                cloud.refuses["/.well-known/jwks.json"] = 503
                async with http.get(f"{door}/api/version", headers=bearer(unknown)) as answer:
                    assert answer.status == 503 and answer.headers["Retry-After"]

    run(work)


@pytest.mark.parametrize("own", ["opaque", token(iss=None), token(aud=None), token(sub="")])
def test_no_tunnel_without_a_token_to_compare_with(own: str) -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model:
            with pytest.raises(Failed, match="JWTs"):
                async with guarded_door(cloud, model, own):
                    pass

    run(work)


@asynccontextmanager
async def local_door(url: str) -> AsyncIterator[str]:
    async with (
        local_http(tls(None)) as near,
        serving(own_door(Local(near, url), Status(0)), "127.0.0.1", 0) as port,
    ):
        yield f"http://127.0.0.1:{port}"


def test_programs_here_reach_the_model() -> None:
    async def work() -> None:
        async with model_server() as model, local_door(model.url) as door, aiohttp.ClientSession() as http:
            async with http.post(f"{door}/api/chat", json={}) as answer:
                for number in range(3):
                    model.words.release()
                    assert texts(await answer.content.readline()) == [f"word{number}"]
            async with http.post(f"{door}/api/embed", data=io.BytesIO(b"x" * 3_000_000)) as answer:
                assert await answer.json() == {"length": 3_000_000}
            async with http.head(f"{door}/api/version") as answer:
                assert answer.status == 200
            async with http.post(f"{door}/api/embed", data=io.BytesIO(b"x" * (33 * 2**20))) as answer:
                assert answer.status == 413

    run(work)


def test_who_goes_away_stops_the_model() -> None:
    async def work() -> None:
        async with model_server() as model, local_door(model.url) as door, aiohttp.ClientSession() as http:
            async with http.post(f"{door}/api/chat", json={}):
                await model.begun.wait()
            await model.dropped.wait()

    run(work)


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}], ids=str
)
def test_pages_of_the_web_do_not(headers: dict[str, str]) -> None:
    async def work() -> None:
        async with model_server() as model, local_door(model.url) as door, aiohttp.ClientSession() as http:
            async with http.get(f"{door}/api/version", headers=headers) as answer:
                assert answer.status == 403 and (await answer.json())["error"]["code"] == "not_from_here"
            assert model.seen == []

    run(work)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("PUT", "/api/x"), ("OPTIONS", "/api/x"), ("GET", "/api/%2e%2e/metrics")]
)
def test_other_paths_and_methods(method: str, path: str) -> None:
    async def work() -> None:

        async with model_server() as model, local_door(model.url) as door, aiohttp.ClientSession() as http:
            async with http.request(method, URL(door + path, encoded=True)) as answer:
                assert answer.status == 403
            assert model.seen == []

    run(work)


def test_no_model_and_half_an_answer() -> None:
    async def work() -> None:
        async with (
            model_server() as model,
            aiohttp.ClientSession() as http,
            local_door(model.url) as door,
            http.get(f"{door}/api/cut") as answer,
        ):
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        async with (
            aiohttp.ClientSession() as http,
            local_door(model.url) as door,
            http.get(f"{door}/api/version") as answer,
        ):
            assert answer.status == 502 and (await answer.json())["error"]["code"] == "local_away"

    run(work)


def test_the_door_of_a_bridge() -> None:
    async def work() -> None:
        async with cloud_server(Cloud(refuses={"/auth/login": 503})) as cloud, model_server() as model:
            more: dict[str, Any] = {"door": ("127.0.0.1", 0)}
            async with bridging(cloud, model, **more) as scene, aiohttp.ClientSession() as http:
                await scene.until(lambda: scene.bridge.status.door)
                async with http.get(f"{scene.bridge.status.door}/api/version") as answer:
                    assert answer.status == 200
                port = int(scene.bridge.status.door.rpartition(":")[2])
                async with bridging(cloud, model, door=("127.0.0.1", port)) as other:
                    with pytest.raises(UsageError, match="cannot be listened on"):
                        await other.task

    run(work)
