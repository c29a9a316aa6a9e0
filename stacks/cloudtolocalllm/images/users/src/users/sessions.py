"""The sessions: begun, ended, and brought into line with what Docker has. Docker's labels are the only store.

The order of work makes that safe at any moment. A network comes first and goes last, so what a killed process leaves is
a network without a container, or a container that was never started; both are removed at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from webservice.web import Problem

from .engine import Engine, EngineError, Usage
from .holding import Holding
from .metrics import Metrics
from .proxies import Counters, Proxies, Unreachable, new_id, session_key
from .settings import Settings
from .shapes import Container, Session, free_subnets

log = logging.getLogger("users")

STOP_SECONDS = 2
"""For a proxy to tell its clients that it ends."""
POLL_SECONDS = 0.1, 0.5
"""At first, and at most: where many start at once, asking all of them all the time would keep them from starting."""
OVERLAPS = 32
"""So many subnets may turn out to be somebody else's before it is given up."""
KEPT = ("running", "restarting", "paused", "exited")
"""States of containers that are taken up. One that was created and not started is the rest of a start that failed."""
REMEMBERED = 1000
"""Ended sessions whose reason is told."""


@dataclass
class Live:
    """A session, and what was last seen of it."""

    session: Session
    counters: Counters | None = None
    usage: Usage | None = None
    failures: int = 0
    restarts: int = 0


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
    doors: frozenset[str] = frozenset()
    """nginx's containers as they were last seen."""

    def __post_init__(self) -> None:
        self.holding = Holding()
        self._taken: dict[str, IPv4Network] = {}
        self._starting = asyncio.Semaphore(self.settings.starts_at_once)

    def find(self, session: str) -> Live | None:
        return next((live for live in self.live.values() if live.session.id == session), None)

    # --- begin ------------------------------------------------------------------------------------------------------

    async def open(self, user: str, name: str) -> Session:
        """The user's session, a new one where there is none. Raises Problem 409, 503."""
        async with self.holding(name):
            live = self.live.get(name)
            if live is not None and live.session.user != user:
                raise Problem(409, "name_taken", "That name is somebody else's.")
            began = time.perf_counter()
            try:
                if live is None:
                    live = await self._begin(Session(new_id(), name, user, int(self.now())))
                    self.metrics.start_seconds.observe(time.perf_counter() - began)
                else:
                    await self._answering(live.session)
            except (EngineError, Unreachable) as error:
                log.warning("no session", extra={"fields": {"name": name, "why": str(error)}})
                raise Problem(503, "not_started", "The session could not be started.", retry_after=5) from None
            return live.session

    async def _begin(self, session: Session) -> Live:
        try:
            async with self._starting:
                try:
                    await self._start(session)
                except EngineError as error:
                    if error.status != 409:
                        raise
                    await self._clear(session.name)  # something of that name was left over
                    await self._start(session)
            live = self.live[session.name] = Live(session)
            await self._answering(session)
        except BaseException:
            self.live.pop(session.name, None)
            with contextlib.suppress(EngineError):  # what cannot be removed now, the next sweep removes
                await asyncio.shield(self._clear(session.name))
            raise
        self.metrics.started.inc()
        log.info("session begun", extra={"fields": {"session": session.id, "name": session.name}})
        return live

    async def _start(self, session: Session) -> None:
        await self._network(session)
        joins = (self._join(door.name, session.name) for door in await self.engine.doors())
        await together(self._create(session), *joins)
        await self.engine.start(session.name)

    async def _join(self, door: str, name: str) -> None:
        """What goes wrong with nginx is no reason not to go on: it is looked for again and again."""
        try:
            await self.engine.join(door, name)
        except EngineError as error:
            log.warning("nginx not joined", extra={"fields": {"name": name, "why": str(error)}})

    async def _create(self, session: Session) -> None:
        given = self.settings
        key = session_key(given.streaming_key, session.id)
        await self.engine.create(session, given.proxy_image, key, given.portal_origin)

    async def _network(self, session: Session) -> None:
        for _ in range(OVERLAPS):
            subnet = next(free_subnets(self.settings.subnets, set(self._taken.values())), None)
            if subnet is None:
                raise EngineError(503, "no subnet is left")
            self._taken[session.name] = subnet
            try:
                await self.engine.create_network(session, subnet)
                return
            except EngineError as error:
                if not error.overlap:
                    raise
                self._taken[f"not ours: {subnet}"] = subnet
        raise EngineError(503, "every subnet that was tried is somebody else's")

    async def _answering(self, session: Session) -> None:
        """Wait until the proxy answers. Raises Unreachable when its time is over."""
        deadline = time.monotonic() + self.settings.start_seconds
        pause, longest = POLL_SECONDS
        while True:
            try:
                await self.proxies.healthy(session.name)
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
                live.counters = await self.proxies.counters(session.name, session.id)
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
            await self.engine.stop(live.session.name, STOP_SECONDS)
            await self.engine.start(live.session.name)

    async def _end(self, live: Live, reason: str) -> Ended:
        """With its name held."""
        await self.engine.stop(live.session.name, STOP_SECONDS)
        await self.engine.remove(live.session.name)
        over = self._over(live, reason)
        with contextlib.suppress(EngineError):  # a network that is left, the next sweep removes
            await self._clear(live.session.name)
        return over

    def _over(self, live: Live, reason: str) -> Ended:
        over = Ended(live.session, self.now(), reason, live.counters)
        self.live.pop(live.session.name, None)
        self.ended.append(over)
        self.metrics.over(reason, over.ended - live.session.created, live.counters)
        log.info("session ended", extra={"fields": {"session": live.session.id, "reason": reason}})
        return over

    async def _clear(self, name: str) -> None:
        """Remove the container, then its network."""
        await self.engine.remove(name)
        await together(*(self.engine.part(door, name) for door in self.doors))
        await self.engine.remove_network(name)
        self._taken.pop(name, None)

    # --- in line with Docker ----------------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """Take up what Docker has, start what has stopped, remove the rest; forget what is gone."""
        await self.look_for_doors()
        # In this order: what is begun or ended while Docker tells its lists is left alone.
        before, busy = dict(self.live), self.holding.names
        networks, containers = await self.engine.networks(), await self.engine.containers()
        stack = self.engine.stack
        found = {one.name.removeprefix(stack.container("")): one for one in containers}
        subnets = {network.name.removeprefix(stack.network("")): network.subnets for network in networks}
        for name, subnet in ((name, some[0]) for name, some in subnets.items() if some):
            self._taken.setdefault(name, subnet)
        names = sorted({*found, *subnets, *before} - busy)
        await together(*(self._settle(name, found.get(name), before.get(name)) for name in names))

    async def _settle(self, name: str, container: Container | None, before: Live | None) -> None:
        async with self.holding(name):
            live = self.live.get(name)
            if live is not before:
                return
            if container is None or container.session is None or container.state not in KEPT:
                await self._clear(name)
                log.info("swept", extra={"fields": {"name": name, "state": container and container.state}})
                if live is not None:
                    self._over(live, "lost")
                return
            if live is None or live.session != container.session:
                self.live[name] = Live(container.session)
                log.info("adopted", extra={"fields": {"session": container.session.id, "state": container.state}})
            if container.state == "exited":
                await self.engine.start(name)
                self.metrics.restarts.labels("stopped").inc()

    async def look_for_doors(self) -> None:
        """Connect nginx to the networks that it is not on: it was created anew, or was away."""
        doors = await self.engine.doors()
        self.doors = frozenset(door.name for door in doors)
        missing = [
            (door.name, name)
            for door in doors
            for name in self.live
            if self.engine.stack.network(name) not in door.networks
        ]
        await together(*(self._join(door, name) for door, name in missing))
        if missing:
            log.info("nginx joined", extra={"fields": {"networks": len(missing)}})


async def together(*work: Awaitable[None]) -> None:
    """All of it, to the end; then the first error, if there was one."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
