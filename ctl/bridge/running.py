"""The bridge at work: what `order` wants to run runs, and what happens there goes back into it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import aiohttp

from ctl.bridge import order, retry
from ctl.bridge.closing import meaning
from ctl.bridge.cloud import Api, Closed, Session, connected
from ctl.bridge.doors import own_door, serving
from ctl.bridge.guard import Guard, guarded
from ctl.bridge.link import Link
from ctl.bridge.local import Local
from ctl.bridge.login import Login
from ctl.bridge.ngrok import Agent, started
from ctl.bridge.order import Event, State, Wish
from ctl.bridge.reaching import Distrusted, Failed
from ctl.bridge.wording import WAYS, Notice, Status
from ctl.core.errors import AuthFailed, TakenOver, Unreachable

LOOK_SECONDS = 2.0
GOODBYE_SECONDS = 3.0
LIVE_SECONDS = 5.0
"""How often it is asked whether a session has been started, after the last one was ended."""
LAG_SECONDS = 60.0
STEADY_SECONDS = 10.0
"""A connection that lasts less counts as an attempt that failed."""

Tell = Callable[[Notice], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """`door`: host and port for programs of this machine. `ngrok`: the program, and its environment."""

    to: str
    wish: Wish
    door: tuple[str, int] | None = None
    ngrok: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class Bridge:
    """Runs until it is cancelled, or until another try makes no sense. `status` is always how it is now."""

    def __init__(
        self, settings: Settings, http: aiohttp.ClientSession, api: Api, login: Login, local: Local, tell: Tell
    ) -> None:
        self.status = Status(since=time.monotonic(), local=local.url)
        self._settings, self._http, self._tell = settings, http, tell
        self._api, self._login, self._local = api, login, local
        self._state = State()
        self._session: Session | None = None
        self._guard: Guard | None = None
        self._had = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[str] = set()
        self._over: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Raises AuthFailed, TakenOver, Unreachable, UsageError."""
        self._over = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            if self._settings.door:
                host, port = self._settings.door
                handler = own_door(self._local, self.status)
                self.status.door = f"http://{host}:{await stack.enter_async_context(serving(handler, host, port))}"
                text = f"programs here find the model at {self.status.door}"
                self._tell(Notice("door", text, {"url": self.status.door}))
            stack.push_async_callback(self._stop)
            self._start("local", self._watch_local())
            await self._over

    # --- what order wants --------------------------------------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        self._state = order.after(self._state, event)
        self._settle()

    def _settle(self) -> None:
        way = order.in_use(self._settings.wish, self._state)
        if way is not self.status.way:
            self.status.way, self.status.since = way, time.monotonic()
            self._tell(Notice("using", f"in use: {WAYS[way]}", {"way": way.value}))
        wanted = order.wanted(self._settings.wish, self._state)
        self._toggle("cloud", wanted.cloud, self._keep_cloud)
        self._toggle("tunnel", wanted.tunnel, self._keep_tunnel)

    def _toggle(self, name: str, on: bool, work: Callable[[], Coroutine[None, None, None]]) -> None:
        if on and name not in self._tasks:
            self._start(name, work())
        elif not on:
            self._leave(name)

    def _start(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks[name] = task = asyncio.create_task(work)
        task.add_done_callback(lambda done: self._ended(name, done))

    def _leave(self, name: str) -> None:
        """Once only: what is tidying up is not to be disturbed."""
        if name in self._tasks and name not in self._leaving:
            self._leaving.add(name)
            self._tasks[name].cancel()

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        del self._tasks[name]
        self._leaving.discard(name)
        error = None if task.cancelled() else task.exception()
        if self._over is None or self._over.done():
            return
        if error:
            self._over.set_exception(error)
        else:
            self._settle()  # it may be wanted again by now

    async def _stop(self) -> None:
        tasks = list(self._tasks.values())
        if self._over is not None:
            self._over.cancel()
        for name in list(self._tasks):
            self._leave(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- the local server --------------------------------------------------------------------------------------------

    async def _watch_local(self) -> None:
        misses, known = 0, None
        while True:
            why = await self._local.answers()
            misses = misses + 1 if why else 0
            there = not why or (known is True and misses < 2)  # one that restarts may miss one look
            if there is not known:
                known = self.status.local_answers = there
                text = f"the model server answers: {self._local.url}" if there else f"no model: {why}"
                self._tell(Notice("local", text, {"answers": there, "url": self._local.url}))
                self._happened(Event.LOCAL_ANSWERS if there else Event.LOCAL_AWAY)
            await asyncio.sleep(LOOK_SECONDS)

    # --- the cloud ---------------------------------------------------------------------------------------------------

    async def _keep_cloud(self) -> None:
        """Connect, again and again. Ends by being cancelled, or with what makes another try senseless."""
        ended = ""
        try:
            while True:
                try:
                    if ended:
                        self.status.session = "none; waiting until one is started"
                        await self._until_live(ended)
                    ended = await self._connection()
                except Failed as error:
                    if isinstance(error, Distrusted) and not self._had:
                        raise Unreachable(error.message, hint="--ca FILE names a private authority") from error
                    self._happened(Event.FAILED)
                    await self._wait(error)
        finally:
            self.status.next_attempt, self.status.session = None, ""
            self._state = order.after(self._state, Event.LEFT)

    async def _connection(self) -> str:
        """One of them, from beginning to end. The session's id, if the session itself has ended.

        Raises Failed if it came to nothing, and TakenOver.
        """
        self._session = session = await self._api.session()
        if self._settings.wish.tunnel:
            with suppress(Failed):  # now, for the tunnel is opened when the cloud cannot be asked for its keys
                await self._guarded()
        async with connected(self._http, self._api, session) as socket:
            began = time.monotonic()
            self._had, self.status.session = True, session.endpoint
            self._tell(Notice("connected", f"connected to {session.endpoint}", {"endpoint": session.endpoint}))
            self._happened(Event.CONNECTED)
            closing = meaning(await Link(socket, self._local, self.status).serve())
        self.status.session = ""
        if closing.final:
            raise TakenOver(closing.message, hint="a session has one desktop; start the bridge again to take it back")
        if closing.ended:
            text = f"{closing.message}; connecting again when one is started"
            self._tell(Notice("ended", text, {"reason": closing.message}))
            self._happened(Event.LEFT)
            return session.id
        if time.monotonic() - began < STEADY_SECONDS:
            raise Closed(closing)
        self._happened(Event.LEFT)
        await self._wait(Closed(closing))
        return ""

    async def _until_live(self, ended: str) -> None:
        """Who ended a session does not want it back at once: wait until somebody starts one. Raises Failed.

        The record may lag behind; a session that is still in it after a while is there again, restarted.
        """
        began = time.monotonic()
        while True:
            found = await self._api.live()
            if found and (found != ended or time.monotonic() - began > LAG_SECONDS):
                return
            await asyncio.sleep(LIVE_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311

    async def _wait(self, error: Failed) -> None:
        seconds = retry.delay(self._state.failures, random.random(), error.retry_after)  # noqa: S311
        self.status.last_error = error.message
        self.status.next_attempt = time.monotonic() + seconds
        data = {"reason": error.message, "failures": self._state.failures, "seconds": round(seconds, 1)}
        self._tell(Notice("waiting", f"{error.message}; trying again", data))
        await asyncio.sleep(seconds)
        self.status.next_attempt = None

    # --- the tunnel --------------------------------------------------------------------------------------------------

    async def _keep_tunnel(self) -> None:
        failures = 0
        while True:
            try:
                handler = guarded(await self._guarded(), self._settings.to, self._local, self.status)
                async with (
                    serving(handler, "127.0.0.1", 0) as port,
                    started(self._http, self._settings.ngrok, port, self._settings.environment) as agent,
                ):
                    url = await agent.url()
                    failures = 0
                    await self._tunnel(agent, url)
            except Failed as error:
                failures += 1
                seconds = retry.delay(failures, random.random())  # noqa: S311
                self.status.last_error = error.message
                data = {"url": None, "reason": error.message, "seconds": round(seconds, 1)}
                self._tell(Notice("tunnel", f"no tunnel: {error.message}; trying again", data))
                self._settle()
                await asyncio.sleep(seconds)

    async def _guarded(self) -> Guard:
        """The tunnel's guard, with the keys that it knows. Raises AuthFailed, Failed."""
        self._guard = self._guard or await Guard.of(self._http, self._settings.to, self._login)
        return self._guard

    async def _tunnel(self, agent: Agent, url: str) -> None:
        """As long as it is there. Raises Failed when it is lost."""
        self.status.tunnel = url
        self._tell(Notice("tunnel", f"the tunnel is open: {url}", {"url": url}))
        self._happened(Event.TUNNEL_UP)
        publishing = asyncio.create_task(self._publish(url))
        try:
            await agent.watch(url)
        finally:
            publishing.cancel()
            self.status.tunnel = ""
            self._state = order.after(self._state, Event.TUNNEL_DOWN)
            await self._withdraw()

    async def _publish(self, url: str) -> None:
        """Tell the API, so that the portal finds the tunnel; again and again until it has heard."""
        failures = 0
        while True:
            try:
                self._session = self._session or await self._api.session()
                await self._api.put_tunnel(self._session, url)
                return
            except AuthFailed as error:
                self.status.last_error = error.message
                return
            except Failed as error:
                failures += 1
                self.status.last_error = error.message
                await asyncio.sleep(retry.delay(failures, random.random()))  # noqa: S311

    async def _withdraw(self) -> None:
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                if self._session:
                    await self._api.put_tunnel(self._session, None)
        except (Failed, AuthFailed, TimeoutError):
            pass
