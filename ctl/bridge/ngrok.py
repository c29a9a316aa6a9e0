"""The ngrok agent, as a process of ours: started, asked for its address, watched, and ended with us."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from ctl.bridge.reaching import Failed, ask

START_SECONDS = 30.0
LOOK_SECONDS = 5.0
END_SECONDS = 5.0

# Its input is a pipe of ours: when we are gone, however we went, the shell reads its end and ends the agent too.
# Its output is the agent's alone, so that its end is the agent's end.
_WITH_US = '"$@" & agent=$!; exec >/dev/null 2>&1; read -r _; kill "$agent"; wait "$agent"'


class Agent:
    """A running agent with a tunnel to `port`."""

    def __init__(self, process: asyncio.subprocess.Process, http: aiohttp.ClientSession, port: int, token: str) -> None:
        self._process, self._http, self._port, self._token = process, http, port, token
        self._api: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._complaint = ""
        self._reading = asyncio.create_task(self._read())

    async def url(self) -> str:
        """The tunnel's public address, once it is open. Raises Failed."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    if self._reading.done():
                        raise Failed(self._ended())
                    found = await self._find()
                    if found:
                        return found
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise Failed(f"ngrok opened no tunnel in {START_SECONDS:.0f} s{self._because()}") from None

    async def watch(self, url: str) -> None:
        """As long as the tunnel is there. Raises Failed."""
        while True:
            await asyncio.wait([self._reading], timeout=LOOK_SECONDS)
            if self._reading.done():
                raise Failed(self._ended())
            if await self._find() != url:
                raise Failed(f"ngrok has lost its tunnel{self._because()}")

    async def _find(self) -> str:
        """What its own web API says; where that listens, the log says."""
        if not self._api.done():
            return ""
        try:
            data = (await ask(self._http, "GET", f"http://{self._api.result()}/api/tunnels")).data
            for tunnel in data["tunnels"]:
                if urlsplit(tunnel["config"]["addr"]).port == self._port and tunnel["public_url"].startswith(
                    "https://"
                ):
                    return str(tunnel["public_url"]).rstrip("/")
        except (Failed, KeyError, TypeError, ValueError):
            pass
        return ""

    async def _read(self) -> None:
        """The log, to its end: it has to be read, or the agent would stop at a full pipe."""
        assert self._process.stdout is not None  # noqa: S101  # it was asked for
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # longer than any line of a log is
                continue
            if not line:
                return
            self._take(line.decode("utf-8", "replace").strip())

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except ValueError:  # what it says when it cannot even begin is in several lines
            entry = {"lvl": "eror", "err": f"{self._complaint} {line.removeprefix('ERROR:')}"}
        if not isinstance(entry, dict):
            return
        if entry.get("msg") == "starting web service" and not self._api.done():
            port = str(entry.get("addr", "")).rpartition(":")[2]
            self._api.set_result(f"127.0.0.1:{port}")
        error = str(entry.get("err") or "")
        if entry.get("lvl") in ("eror", "crit", "warn") and error not in ("", "<nil>", "nil"):
            text = " ".join(error.split())
            # The agent says what token it was given.
            self._complaint = (text.replace(self._token, "••••") if self._token else text)[:300]

    def _ended(self) -> str:
        return f"ngrok ended{self._because()}"

    def _because(self) -> str:
        return f": {self._complaint}" if self._complaint else ""

    async def end(self) -> None:
        """Nothing is left of it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


@asynccontextmanager
async def started(
    http: aiohttp.ClientSession, program: str, port: int, environment: Mapping[str, str]
) -> AsyncIterator[Agent]:
    """An agent for a port of this machine; NGROK_AUTHTOKEN in the environment is its account's. Raises Failed."""
    # It would keep what passes for its inspection page, and what passes here is nobody's business.
    words = ["http", f"127.0.0.1:{port}", "--inspect=false", "--log=stdout", "--log-format=json", "--log-level=info"]
    try:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _WITH_US,
            "sh",
            program,
            *words,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise Failed(f"ngrok cannot be started: {error.strerror}") from error
    agent = Agent(process, http, port, environment.get("NGROK_AUTHTOKEN", ""))
    try:
        yield agent
    finally:
        await agent.end()
