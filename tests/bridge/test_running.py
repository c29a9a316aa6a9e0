"""The bridge over hours, in seconds: connections that are lost, tokens that run out, servers that are away."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cloud_standin import EMAIL, OTHER_KEY, Cloud, cloud_server, token
from model_standin import model_server
from scene import bridging, run

from ctl.bridge.frames import Close
from ctl.bridge.login import CommandLogin, GivenToken
from ctl.bridge.order import Wish
from ctl.core.errors import AuthFailed, TakenOver
from ctl.core.secret import Secret


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctl.bridge.retry.FIRST", 0.02)
    monkeypatch.setattr("ctl.bridge.retry.MOST", 0.1)
    monkeypatch.setattr("ctl.bridge.running.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("ctl.bridge.running.LIVE_SECONDS", 0.1)


def count(cloud: Cloud, what: str) -> int:
    return cloud.asked.count(what)


def test_a_connection_that_is_cut_is_made_again() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            for number in range(1, 4):
                await scene.until(lambda: cloud.socket is not None)
                assert (await (await cloud.ask("GET", "/api/version")).head).status == 200
                cloud.cut()
                await scene.until(lambda n=number: len(cloud.shown) > n)
            assert len(set(cloud.shown)) == len(cloud.shown)  # each time with another token
            assert count(cloud, "POST /auth/login") == 1
            assert "the connection was cut" in scene.bridge.status.last_error

    run(work)


@pytest.mark.parametrize("code", [1006, 1011, 1012, Close.EXPIRED, Close.BAD_TOKEN, Close.WRONG_SESSION, Close.REPLAY])
def test_codes_after_which_it_goes_on(code: int) -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            await scene.until(lambda: cloud.socket)
            first = cloud.socket
            if code == 1006:
                cloud.cut()
            else:
                await cloud.close(code)
            await scene.until(lambda: cloud.socket not in (None, first))
            assert count(cloud, "POST /api/streaming/create") == 2

    run(work)


def test_another_desktop_takes_over() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            await scene.until(lambda: cloud.socket)
            async with bridging(cloud, model) as other:
                with pytest.raises(TakenOver, match="another desktop"):
                    await scene.task
                assert (await (await cloud.ask("GET", "/api/version")).head).status == 200
                assert not other.task.done()

    run(work)


def test_a_session_that_was_ended_is_not_brought_back_by_us() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            await scene.until(lambda: scene.ways() == ["local", "cloud"])
            await cloud.close(Close.GOING_AWAY)  # it stays in the record for a moment
            await scene.until(lambda: count(cloud, "GET /api/streaming/sessions") > 2)
            cloud.live = False
            await scene.until(lambda: count(cloud, "GET /api/streaming/sessions") > 5)
            assert count(cloud, "POST /api/streaming/create") == 1 and "ended" in scene.kinds()
            cloud.live, cloud.recorded = True, "s2"  # somebody starts one
            await scene.until(lambda: scene.ways() == ["local", "cloud", "local", "cloud"])

    run(work)


def test_a_session_that_was_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctl.bridge.running.LAG_SECONDS", 0.5)

    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model) as scene:
            await scene.until(lambda: scene.ways() == ["local", "cloud"])
            await cloud.close(Close.GOING_AWAY)
            await scene.until(lambda: scene.ways() == ["local", "cloud", "local", "cloud"])

    run(work)


def test_a_proxy_that_says_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctl.bridge.cloud.HEARTBEAT", 0.2)

    async def work() -> None:
        async with (
            cloud_server(Cloud(silent=True)) as cloud,
            model_server() as model,
            bridging(cloud, model) as scene,
        ):
            await scene.until(lambda: "waiting" in scene.kinds())
            assert scene.bridge.status.last_error == "the connection was cut"
            cloud.silent = False
            await scene.until(lambda: scene.kinds().count("connected") > 1)

    run(work)


def test_the_handshake_is_refused_for_a_while() -> None:
    async def work() -> None:
        async with (
            cloud_server(Cloud(close_with=Close.BAD_TOKEN)) as cloud,
            model_server() as model,
            bridging(cloud, model) as scene,
        ):
            await scene.until(lambda: "waiting" in scene.kinds())
            assert "clock" in scene.bridge.status.last_error
            cloud.close_with = None
            await cloud.there.wait()

    run(work)


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_a_desktop_whose_clock_is_wrong(ahead: float) -> None:
    async def work() -> None:
        async with (
            cloud_server(Cloud(clock=ahead)) as cloud,
            model_server() as model,
            bridging(cloud, model) as scene,
        ):
            await scene.until(lambda: cloud.socket)
            assert "waiting" not in scene.kinds()

    run(work)


def test_tokens_are_renewed_on_the_open_connection() -> None:
    async def work() -> None:
        async with (
            cloud_server(Cloud(session_seconds=2.0, access_seconds=2.0)) as cloud,
            model_server() as model,
            bridging(cloud, model) as scene,
        ):
            await scene.until(lambda: len(cloud.shown) == 3)
            assert scene.kinds().count("connected") == 1
            await scene.until(lambda: count(cloud, "POST /auth/refresh") > 0)
            assert count(cloud, "POST /auth/login") == 1

    run(work)


def test_a_login_that_was_ended_elsewhere_is_made_again() -> None:
    async def work() -> None:
        async with (
            cloud_server(Cloud(access_seconds=2.0)) as cloud,
            model_server() as model,
            bridging(cloud, model) as scene,
        ):
            await scene.until(lambda: cloud.socket)
            cloud.refresh = "another"
            await asyncio.sleep(1.6)
            cloud.cut()
            await scene.until(lambda: cloud.socket and count(cloud, "POST /auth/login") == 2)

    run(work)


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_refused_login_ends_it(when: str) -> None:
    async def work() -> None:
        cloud = Cloud(access_seconds=2.0, refuses={"/auth/login": 401} if when == "at once" else {})
        async with cloud_server(cloud), model_server() as model, bridging(cloud, model) as scene:
            if when == "later":
                await scene.until(lambda: cloud.socket)
                cloud.password, cloud.refresh = "another-password", "another"
                await asyncio.sleep(1.6)
                cloud.cut()
            with pytest.raises(AuthFailed, match=f"the login of {EMAIL} was refused"):
                await scene.task

    run(work)


def test_an_api_that_does_not_know_the_issuer() -> None:
    async def work() -> None:
        async with (
            cloud_server(Cloud(refuses={"/api/streaming/create": 401})) as cloud,
            model_server() as model,
            bridging(cloud, model) as scene,
        ):
            with pytest.raises(AuthFailed, match="not accepted for streaming"):
                await scene.task
            assert count(cloud, "POST /api/streaming/create") == 2  # with a fresh token once more

    run(work)


@pytest.mark.parametrize("path", ["/auth/login", "/api/streaming/create", "/api/streaming/s1/token", "/ws/desktop"])
def test_a_server_that_is_out_of_order_is_waited_for(path: str) -> None:
    async def work() -> None:
        async with (
            cloud_server(Cloud(refuses={path: 503})) as cloud,
            model_server() as model,
            bridging(cloud, model) as scene,
        ):
            await scene.until(lambda: scene.kinds().count("waiting") >= 4)
            assert "503" in scene.bridge.status.last_error and scene.ways() == ["local"]
            cloud.refuses.clear()
            await scene.until(lambda: cloud.socket)

    run(work)


def test_the_local_server_is_preferred_while_it_answers() -> None:
    async def work() -> None:
        async with cloud_server() as cloud:
            async with model_server() as model, bridging(cloud, model, wish=Wish(prefer_local=True)) as scene:
                await scene.until(lambda: scene.ways() == ["local"])
                await asyncio.sleep(0.3)
                assert cloud.asked == []  # it does not connect out
            port = model.port
            async with bridging(cloud, f"http://127.0.0.1:{port}", wish=Wish(prefer_local=True)) as scene:
                await scene.until(lambda: cloud.socket)
                async with model_server(port):
                    await scene.until(lambda: cloud.socket is None and scene.ways() == ["cloud", "local"])
                await scene.until(lambda: scene.ways() == ["cloud", "local", "none", "cloud"])

    run(work)


# Where tokens come from.


def test_a_command_gives_the_token(tmp_path: Path) -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model:
            command = CommandLogin(f"echo x >>{tmp_path}/runs; echo {token()}")
            async with bridging(cloud, model, login=command) as scene:
                await scene.until(lambda: cloud.socket)
                cloud.cut()
                await scene.until(lambda: len(cloud.shown) == 2)
            assert (tmp_path / "runs").read_text() == "x\n"  # it is good for longer
            assert count(cloud, "POST /auth/login") == 0

    run(work)


@pytest.mark.parametrize(
    ("command", "why"),
    [("exit 3", "ended with 3"), ("true", "printed no token"), ("echo two words", "printed no token")],
)
def test_a_command_that_gives_none(command: str, why: str) -> None:
    async def work() -> None:
        async with (
            cloud_server() as cloud,
            model_server() as model,
            bridging(cloud, model, login=CommandLogin(command)) as scene,
        ):
            with pytest.raises(AuthFailed, match=why):
                await scene.task

    run(work)


def test_a_token_that_is_given_ends_with_its_time() -> None:
    async def work() -> None:
        async with cloud_server() as cloud, model_server() as model:
            login = GivenToken(Secret("CTL_BRIDGE_TOKEN", token(seconds=2)))
            async with bridging(cloud, model, login=login) as scene:
                await scene.until(lambda: cloud.socket)
                await asyncio.sleep(2)
                cloud.cut()
                with pytest.raises(AuthFailed, match="has run out"):
                    await scene.task

    run(work)


# The tunnel.

NGROK = str(Path(__file__).parent / "standin/ngrok")


def environment(file: Path, authtoken: str = "a-token-of-the-stand-in") -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "STANDIN_FILE": str(file), "NGROK_AUTHTOKEN": authtoken}


def agent(file: Path) -> dict[str, Any]:
    import json

    return dict(json.loads(file.read_text())) if file.exists() and file.read_text() else {}


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_the_tunnel_while_the_cloud_cannot_be_had(tmp_path: Path) -> None:
    async def work() -> None:
        file = tmp_path / "ngrok.json"
        cloud = Cloud(refuses={"/ws/desktop": 502})
        more = {"wish": Wish(tunnel=True), "ngrok": NGROK, "environment": environment(file)}
        async with cloud_server(cloud), model_server() as model, bridging(cloud, model, **more) as scene:
            await scene.until(lambda: cloud.tunnels)
            assert cloud.tunnels == ["https://bridge.ngrok.example"] == [scene.bridge.status.tunnel]
            assert scene.ways() == ["local", "ngrok"]
            waits = scene.kinds().count("waiting")
            await scene.until(lambda: scene.kinds().count("waiting") > waits + 2)  # the cloud is tried on
            cloud.refuses.clear()
            await scene.until(lambda: cloud.tunnels[-1] is None)
            await scene.until(lambda: is_gone(agent(file)["pid"]))
            assert scene.ways() == ["local", "ngrok", "cloud"] and cloud.socket
            assert scene.bridge.status.tunnel == ""

    run(work)


def test_the_tunnel_while_nothing_of_the_cloud_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctl.bridge.guard.KEYS_SECONDS", 0.0)

    async def work() -> None:
        file = tmp_path / "ngrok.json"
        more = {"wish": Wish(tunnel=True), "ngrok": NGROK, "environment": environment(file)}
        async with cloud_server() as cloud, model_server() as model, bridging(cloud, model, **more) as scene:
            await cloud.there.wait()
            paths = [what.split()[1] for what in cloud.asked]
            cloud.refuses |= dict.fromkeys([*paths, "/auth/refresh", "/.well-known/jwks.json"], 502)
            cloud.cut()
            await scene.until(lambda: scene.ways()[-1] == "ngrok")
            url = f"http://{agent(file)['upstream']}/api/version"
            async with aiohttp.ClientSession() as http:
                bad = token(sub="user-2"), token(key=OTHER_KEY), "e30.e30.e30"
                for text, status in ((token(), 200), *((each, 401) for each in bad)):
                    async with http.get(url, headers={"Authorization": f"Bearer {text}"}) as answer:
                        assert answer.status == status, text

    run(work)


def test_a_tunnel_that_dies_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctl.bridge.ngrok.LOOK_SECONDS", 0.1)

    async def work() -> None:
        file = tmp_path / "ngrok.json"
        cloud = Cloud(refuses={"/api/streaming/s1/token": 503})
        more = {"wish": Wish(tunnel=True, patience=1), "ngrok": NGROK, "environment": environment(file)}
        async with cloud_server(cloud), model_server() as model:
            async with bridging(cloud, model, **more) as scene:
                for sign in (signal.SIGKILL, signal.SIGUSR1, signal.SIGTERM):
                    await scene.until(lambda: scene.ways()[-1:] == ["ngrok"])
                    pid, times = agent(file)["pid"], len(cloud.tunnels)
                    await scene.until(lambda: cloud.tunnels and cloud.tunnels[-1])
                    os.kill(pid, sign)
                    await scene.until(lambda p=pid: is_gone(p) and agent(file).get("pid", p) != p)
                    await scene.until(lambda n=times: None in cloud.tunnels[n:])
                await scene.until(lambda: scene.ways()[-1:] == ["ngrok"])
                pid = agent(file)["pid"]
            assert is_gone(pid) and cloud.tunnels[-1] is None  # nothing is left behind

    run(work)


def test_an_agent_that_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        cloud = Cloud(refuses={"/ws/desktop": 502})
        env = environment(tmp_path / "f", authtoken="a-wrong-token")
        more = {"wish": Wish(tunnel=True, patience=1), "ngrok": NGROK, "environment": env}
        async with cloud_server(cloud), model_server() as model, bridging(cloud, model, **more) as scene:
            await scene.until(lambda: scene.kinds().count("tunnel") > 1)
            said = next(notice.text for notice in scene.notices if notice.kind == "tunnel")
            assert "ERR_NGROK_105" in said and "a-wrong-token" not in said and "••••" in said
            assert scene.ways() == ["local"] and cloud.tunnels == []

    run(work)


def test_a_refused_login_is_not_tried_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctl.bridge.cloud.HURRY", 0.05)

    async def work() -> None:
        async with (
            cloud_server(Cloud(session_seconds=2.0, access_seconds=1.0)) as cloud,
            model_server() as model,
            bridging(cloud, model) as scene,
        ):
            await scene.until(lambda: cloud.socket)
            cloud.password, cloud.refresh = "another-password", "another"
            logins = count(cloud, "POST /auth/login")
            await scene.until(lambda: count(cloud, "POST /auth/login") > logins)
            await asyncio.sleep(0.5)
            assert count(cloud, "POST /auth/login") == logins + 1  # more would lock the account
            await cloud.close(Close.EXPIRED)
            with pytest.raises(AuthFailed, match="was refused"):
                await scene.task

    run(work)
