"""The sessions: begun, ended, and brought into line with what Docker has. Docker's names and labels are the only store.

A session is made without an owner, some of them ahead of time; it is somebody's from the moment that its container is
called so, which Docker does at once or not at all. What a killed process leaves without an owner is removed at the next
start, and so is a network without a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from webservice.web import Problem

from .engine import Engine, EngineError, Usage
from .holding import Holding
from .metrics import Metrics
from .proxies import Counters, Proxies, Unreachable, new_id
from .settings import Settings
from .shapes import Container, Session
from .stock import Stock, errors, together

log = logging.getLogger("users")

STOP_SECONDS = 2
"""For a proxy to tell its clients that it ends."""
POLL_SECONDS = 0.1, 0.5
"""At first, and at most: where many start at once, asking all of them all the time would keep them from starting."""
KEPT = ("running", "restarting", "paused", "exited")
"""States of containers that are taken up; another one is being removed, or somebody else has made it."""
REMEMBERED = 1000
"""Ended sessions whose reason is told."""


@dataclass
class Live:
    """A session, and what was last seen of it. `asked` is when it was last asked for, in seconds since 1970."""

    session: Session
    asked: float
    counters: Counters | None = None
    usage: Usage | None = None
    failures: int = 0
    restarts: int = 0

    def note(self, counters: Counters) -> None:
        """A proxy that was begun ahead of time tells of activity before anybody had it."""
        last = max(counters.last_activity, self.session.created)
        self.counters = msgspec.structs.replace(counters, last_activity=last)


@dataclass(frozen=True)
class Ended:
    session: Session
    ended: float
    reason: str
    counters: Counters | None = None


@dataclass
class Sessions:
    """One process at a time has the sessions of a stack. `now` gives seconds since 1970."""

    settings: Settings
    engine: Engine
    proxies: Proxies
    metrics: Metrics
    now: Callable[[], float] = time.time
    live: dict[str, Live] = field(default_factory=dict)
    """By the user's name."""
    ended: deque[Ended] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def __post_init__(self) -> None:
        self.holding = Holding()
        self.stock = Stock(self.settings, self.engine, self.now)

    def find(self, session: str) -> Live | None:
        return next((live for live in self.live.values() if live.session.id == session), None)

    # --- begin ------------------------------------------------------------------------------------------------------

    async def open(self, name: str) -> Session:
        """The user's session, a new one where there is none. Raises Problem 503."""
        async with self.holding(name):
            began = time.perf_counter()
            try:
                live = self.live.get(name)
                if live is None:
                    live = await self._begin(name)
                    self.metrics.start_seconds.observe(time.perf_counter() - began)
                else:
                    live.asked = self.now()
                    await self._answering(live.session)
            except (EngineError, Unreachable) as error:
                log.warning("no session", extra={"fields": {"name": name, "why": str(error)}})
                raise Problem(503, "not_started", "The session could not be started.", retry_after=5) from None
            return live.session

    async def _begin(self, name: str) -> Live:
        """A spare session becomes the user's, or one that is made now."""
        while self.stock.spares:
            session = self.stock.spares.pop(0)
            async with self.stock.in_hand(session, name):
                if await self.stock.give(session, name, waited=True):
                    return await self._begun(session, name)
        session = new_id()
        async with self.stock.in_hand(session, name):
            await self.stock.make(session)
            if not await self.stock.give(session, name, waited=False):
                raise EngineError(503, "its container is gone")
            return await self._begun(session, name)

    async def _begun(self, session: str, name: str) -> Live:
        now = self.now()
        live = self.live[name] = Live(Session(session, name, int(now)), now)
        try:
            await self._answering(live.session)
        except BaseException:
            del self.live[name]
            raise
        self.metrics.started.inc()
        log.info("session begun", extra={"fields": {"session": session, "name": name}})
        return live

    async def _answering(self, session: Session) -> None:
        """Wait until the proxy answers, and no other one at its name. Raises Unreachable when its time is over."""
        deadline = time.monotonic() + self.settings.start_seconds
        pause, longest = POLL_SECONDS
        while True:
            try:
                await self.proxies.counters(session.name, session.id)
                return
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)

    # --- end --------------------------------------------------------------------------------------------------------

    async def close(self, session: str, reason: str) -> Ended:
        """End it. Raises Problem 404, 503."""
        live = self.find(session)
        over = await self.close_if(live, reason, lambda _live: True) if live else None
        if over is None:
            raise Problem(404, "not_found", "There is no such session.")
        return over

    async def close_if(self, live: Live, reason: str, still: Callable[[Live], bool]) -> Ended | None:
        """End it, if it is `still` to be ended when nothing else is done about it. Raises Problem 503."""
        session = live.session
        async with self.holding(session.name):
            if self.live.get(session.name) is not live:
                return None
            with contextlib.suppress(Unreachable):
                live.note(await self.proxies.counters(session.name, session.id))
            if not still(live):
                return None
            try:
                return await self._end(live, reason)
            except EngineError as error:
                log.warning("not ended", extra={"fields": {"session": session.id, "why": str(error)}})
                raise Problem(503, "not_ended", "The session could not be ended yet.", retry_after=5) from None

    async def revive(self, live: Live, *, give_up: bool) -> None:
        """Start a proxy again that does not answer, or end its session."""
        async with self.holding(live.session.name):
            if self.live.get(live.session.name) is not live:
                return
            if give_up:
                await self._end(live, "unhealthy")
                return
            live.restarts += 1
            self.metrics.restarts.labels("silent").inc()
            container = self.engine.stack.container(live.session.name)
            await self.engine.stop(container, STOP_SECONDS)
            await self.engine.start(container)

    async def _end(self, live: Live, reason: str) -> Ended:
        """With its name held."""
        container = self.engine.stack.container(live.session.name)
        await self.engine.stop(container, STOP_SECONDS)
        await self.engine.remove(container)
        over = self._over(live, reason)
        with contextlib.suppress(EngineError):  # a network that is left, the next sweep removes
            await self.stock.clear(live.session.id)
        return over

    def _over(self, live: Live, reason: str) -> Ended:
        over = Ended(live.session, self.now(), reason, live.counters)
        self.live.pop(live.session.name, None)
        self.ended.append(over)
        self.metrics.over(reason, over.ended - live.session.created, live.counters)
        log.info("session ended", extra={"fields": {"session": live.session.id, "reason": reason}})
        return over

    # --- in line with Docker ----------------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """Take up what Docker has of users, start what has stopped, remove the rest; forget what is gone."""
        await self.look_for_doors()
        # In this order: what is begun or ended while Docker tells its lists is left alone.
        before, spares, busy = dict(self.live), frozenset(self.stock.spares), self.holding.names
        networks, containers = await self.engine.networks(), await self.engine.containers()
        self.stock.note(networks, self._ids)
        found = {one.owner: one for one in containers if one.owner is not None}
        names = sorted({*found, *before} - busy - self.holding.names)
        trouble = await errors(*(self._settle(name, found.get(name), before.get(name)) for name in names))
        there = {one.session: one for one in containers if one.owner is None and one.session}
        self.stock.forget({one for one in spares if one not in there or there[one].state != "running"})
        nobodys = {*there, *(network.session for network in networks)} - self.stock.known - self._ids
        await together(*map(self._sweep, sorted(nobodys)))
        for error in trouble:
            raise error

    async def _settle(self, name: str, container: Container | None, before: Live | None) -> None:
        async with self.holding(name):
            live = self.live.get(name)
            if live is not before:
                return
            if container is None or not container.session or container.state not in KEPT:
                await self.engine.remove(self.engine.stack.container(name))
                log.info("swept", extra={"fields": {"name": name, "state": container and container.state}})
                if live is not None:
                    self._over(live, "lost")  # its network goes with what is nobody's
                return
            if live is None or live.session.id != container.session:
                adopted = Session(container.session, name, container.created)
                self.live[name] = Live(adopted, self.now())
                log.info("adopted", extra={"fields": {"session": adopted.id, "state": container.state}})
            if container.state == "exited":
                await self.engine.start(container.name)
                self.metrics.restarts.labels("stopped").inc()

    async def _sweep(self, session: str) -> None:
        """What nobody has and this process did not make: a network without a container, an earlier process' spare."""
        try:
            await self.stock.clear(session)
        except EngineError as error:
            log.warning("not swept", extra={"fields": {"session": session, "why": str(error)}})
        else:
            log.info("swept", extra={"fields": {"session": session}})

    async def look_for_doors(self) -> None:
        """Connect nginx to the networks that it is not on: it was created anew, or was away."""
        await self.stock.look_for_doors((*self.stock.spares, *self._ids))

    @property
    def _ids(self) -> set[str]:
        return {live.session.id for live in self.live.values()}
