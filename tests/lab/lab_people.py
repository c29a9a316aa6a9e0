"""People of the stack cloudtolocalllm, at work all the time: each has a login, a desktop with a model, and questions.

The desktop's side is the program's own (`ctl bridge`), in this process; the model is a stand-in, and says whose it is.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
from lab_cloud import ADMIN, PASSWORD, Cloud, Leads
from lab_model import Model, asking, saying
from lab_project import DOOR, until

from ctl.bridge.cloud import Api
from ctl.bridge.frames import Auth, Data, End, Ready, ReceiveWindow, Request, Response, Window, decode, encode
from ctl.bridge.local import Local, local_http
from ctl.bridge.login import PasswordLogin
from ctl.bridge.order import Wish
from ctl.bridge.reaching import Failed
from ctl.bridge.running import Bridge, Settings
from ctl.core.secret import Secret

WORDS = 15
ENDLESS = 10**6
AGAIN = 0.5
"""Seconds until somebody asks again who got no answer."""
PATIENCE = aiohttp.ClientTimeout(total=30)
JSON = {"content-type": "application/json"}


class NoAnswer(Exception):
    """None, or not the one that the person's own model gives."""

    def __init__(self, what: str, status: int = 0) -> None:
        super().__init__(what)
        self.status = status


@dataclass(frozen=True)
class Asked:
    """A question, or a stream that was open. Times are of the monotonic clock; `why` it came to nothing, if it did."""

    began: float
    ended: float
    why: str = ""


@dataclass
class Person:
    """Asks one short question after the other by HTTP, and listens to one long answer by WebSocket."""

    email: str
    api: str
    http: aiohttp.ClientSession
    login: PasswordLogin
    bridge: Bridge
    session: Mapping[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    cuts: list[Asked] = field(default_factory=list)
    """Long answers that broke off."""
    heard: int = 0
    """Pieces of the long answer that is under way."""

    @property
    def name(self) -> str:
        return str(self.session["name"])

    def failed(self, since: float = 0) -> list[Asked]:
        return [each for each in self.asked if each.why and each.ended > since]

    def answered(self, since: float = 0) -> list[Asked]:
        """To questions that were asked since then."""
        return [each for each in self.asked if not each.why and each.began > since]

    def cut(self, since: float = 0) -> list[Asked]:
        return [each for each in self.cuts if each.ended > since]

    # --- what it does ------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        self.session = await self._api("/create", {})

    async def talk(self) -> None:
        for number in count():
            began = time.monotonic()
            try:
                await self._ask(f"question {number}")
                self.asked.append(Asked(began, time.monotonic()))
            except (NoAnswer, aiohttp.ClientError, OSError, ValueError) as error:
                self.asked.append(Asked(began, time.monotonic(), repr(error)))
                await asyncio.sleep(AGAIN)
                if getattr(error, "status", 0) in (401, 403, 404):
                    await self._again()

    async def _again(self) -> None:
        """As a page does whose session is not there any more."""
        try:
            await self.begin()
        except (NoAnswer, aiohttp.ClientError, OSError):
            await asyncio.sleep(5)  # ten a minute are allowed

    async def _ask(self, question: str) -> None:
        body, token = asking(question, WORDS), self.session["token"]
        url, headers = f"{self.session['endpoint']}/api/generate", {**JSON, "authorization": f"Bearer {token}"}
        async with self.http.post(url, data=body, headers=headers, timeout=PATIENCE) as answer:
            said = await answer.read()
            if answer.status != 200:
                raise NoAnswer(f"{answer.status}: {said[:200]!r}", answer.status)
        lines = [json.loads(line) for line in said.splitlines()]
        if "".join(line.get("response", "") for line in lines) != saying(self.email, WORDS) + question:
            raise NoAnswer(f"another answer: {said[-300:]!r}")

    async def listen(self) -> None:
        while True:
            try:
                token = await self._api(f"/{self.session['sessionId']}/token", {"role": "client"})
                url = f"{self.session['endpoint']}/ws/client"
                async with self.http.ws_connect(url, heartbeat=20) as line:
                    await self._listen(line, str(token["token"]))
            except (NoAnswer, aiohttp.ClientError, aiohttp.WSMessageTypeError, OSError):
                pass
            await asyncio.sleep(2 * AGAIN)

    async def _listen(self, line: aiohttp.ClientWebSocketResponse, token: str) -> None:
        await line.send_str(str(encode(Auth(token, self.session["sessionId"], int(time.time() * 1000)))))
        if decode(await line.receive_str()) != Ready(self.session["sessionId"]):
            raise NoAnswer("not let in")
        question = (Request(1, "POST", "/api/generate", tuple(JSON.items())), Data(1, asking("all", ENDLESS)), End(1))
        for message in map(encode, question):
            await (line.send_str(message) if isinstance(message, str) else line.send_bytes(message))
        began, window, why = time.monotonic(), ReceiveWindow(), ""
        self.heard = 0
        rest = b""
        try:
            async for came in line:
                if came.type is aiohttp.WSMsgType.ERROR:
                    break
                match frame := decode(came.data):
                    case Data(body=body):
                        window.receive(len(body))
                        *whole, rest = (rest + body).split(b"\n")
                        for text in whole:
                            assert json.loads(text)["response"] == f"{self.email} {self.heard} ", text
                            self.heard += 1
                        if given := window.consume(len(body)):
                            await line.send_str(str(encode(Window(1, given))))
                    case Response(status=200) | Window():
                        pass
                    case _:
                        why = str(frame)
                        break
        except (aiohttp.ClientError, OSError) as error:
            why = repr(error)
        if self.heard:
            self.cuts.append(Asked(began, time.monotonic(), why or f"closed with {line.close_code}"))
            self.heard = 0

    async def _api(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            headers = {"authorization": f"Bearer {await self.login.token()}"}
        except Failed as error:
            raise NoAnswer(f"no login: {error}") from error
        url = f"{self.api}/api/streaming{path}"
        async with self.http.post(url, json=body, headers=headers, timeout=PATIENCE) as answer:
            said = await answer.read()
            if answer.status != 200:
                raise NoAnswer(f"{answer.status}: {said[:200]!r}", answer.status)
            made: dict[str, Any] = json.loads(said)
            return made


class People:
    """All of them, in an event loop of their own thread. Ends with whatever went wrong in one of their tasks."""

    def __init__(self, cloud: Cloud, emails: Sequence[str]) -> None:
        self._cloud, self._emails = cloud, emails
        self.all: list[Person] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> People:
        for email in self._emails:
            account(self._cloud, email)
        self._thread.start()
        try:
            until("all of them to be answered", lambda: self.answered() and self.listening(), seconds=90)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)
        if self._error:
            raise self._error

    def answered(self, since: float = 0, times: int = 1) -> bool:
        """Whether everybody has had so many answers to what they asked since then."""
        self._sound()
        return len(self.all) == len(self._emails) and all(len(one.answered(since)) >= times for one in self.all)

    def listening(self) -> bool:
        """Whether everybody's long answer is under way."""
        return all(one.heard > 10 for one in self.all)

    def go_on(self, times: int = 3) -> None:
        """Until everybody has had so many more answers."""
        now = time.monotonic()
        until("further answers", lambda: self.answered(now, times), seconds=120)

    def trouble(self, since: float) -> dict[str, list[Asked]]:
        """What went wrong since then, by person."""
        self._sound()
        found = {one.email: [*one.failed(since), *one.cut(since)] for one in self.all}
        return {email: some for email, some in found.items() if some}

    def sessions(self) -> dict[str, str]:
        """Ids, by the people's names."""
        return {one.name: str(one.session["sessionId"]) for one in self.all}

    def _sound(self) -> None:
        assert self._error is None, self._error
        assert self._thread.is_alive()

    def _work(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            self._error = error

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            tls: ssl.SSLContext = self._cloud.trust
            lives: list[Coroutine[Any, Any, None]] = []
            for email in self._emails:
                person = await self._person(email, tls, stack)
                await person.begin()
                self.all.append(person)
                lives += [person.bridge.run(), person.talk(), person.listen()]
            tasks = [asyncio.create_task(life) for life in lives]
            over = asyncio.create_task(self._over.wait())
            done, _ = await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in (over, *tasks):
                task.cancel()
            await asyncio.gather(over, *tasks, return_exceptions=True)
            for task in done:
                task.result()
        await asyncio.sleep(0.5)  # connections with TLS take a moment to close

    async def _person(self, email: str, tls: ssl.SSLContext, stack: AsyncExitStack) -> Person:
        def outside(*, once: bool) -> aiohttp.ClientSession:
            # One that is kept may be closed, as by a reload of nginx, in the moment in which it is used again.
            resolver = Leads(self._cloud)
            connector = aiohttp.TCPConnector(ssl=tls, resolver=resolver, use_dns_cache=False, force_close=once)
            return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

        http = await stack.enter_async_context(outside(once=True))
        far = await stack.enter_async_context(outside(once=False))
        near = await stack.enter_async_context(local_http(tls))
        portal, api = (f"https://{name}:{DOOR}" for name in (self._cloud.domain, f"api.{self._cloud.domain}"))
        login = PasswordLogin(far, portal, email, Secret("password", PASSWORD))
        url = await Model(email).serve(stack)
        settings = Settings(to=portal, wish=Wish())
        bridge = Bridge(settings, far, Api(far, api, login), login, Local(near, url), lambda _notice: None)
        return Person(email, api, http, login, bridge)


def account(cloud: Cloud, email: str) -> None:
    """An account of that name, unless it is there."""
    body = {"email": email, "password": PASSWORD, "name": email.partition("@")[0]}
    made = cloud.ask("POST", cloud.domain, "/auth/users", body, cloud.log_in(ADMIN))
    assert made.status in (201, 409), made
