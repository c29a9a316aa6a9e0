"""What runs beside the requests, for as long as the process lives: each its own round, in its own time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from webservice.web import where

from .engine import EngineError
from .proxies import Unreachable
from .sessions import Live, Sessions

log = logging.getLogger("users")

ASKED_AT_ONCE = 16
FAILURES = 3
"""Answers that a proxy may owe in a row before it is started again."""
RESTARTS = 3
"""Starts without an answer after which a session is given up."""
SPARE_SECONDS = 1
"""Between two sessions that are begun ahead of time, while nobody waits for one."""
STATS_SECONDS = 60
"""In which Docker is asked for the figures of all containers once, one after the other."""


class Watch:
    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def rounds(self) -> list[Awaitable[None]]:
        """All of it; to be run side by side."""
        given = self.sessions.settings
        return [
            every(given.health_seconds, self.health),
            every(given.sweep_seconds, self.sweep),
            every(given.door_seconds, self.sessions.look_for_doors),
            every(SPARE_SECONDS, self.spare, after_trouble=given.sweep_seconds),
            self.stats(),
        ]

    async def health(self) -> None:
        slots = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(live: Live) -> None:
            async with slots:
                await self.ask(live)

        await asyncio.gather(*(ask(live) for live in list(self.sessions.live.values())))

    async def ask(self, live: Live) -> None:
        """Read a proxy's counters; start it again, or give it up, when it has not answered for long."""
        session = live.session
        try:
            live.note(await self.sessions.proxies.counters(session.name, session.id))
        except Unreachable as error:
            self.sessions.metrics.health.labels("nginx" if error.nginx else "error").inc()
            if error.nginx:
                return
            live.failures += 1
            log.warning("no answer", extra={"fields": {"session": session.id, "why": str(error)}})
            if live.failures % FAILURES == 0:
                await self.sessions.revive(live, give_up=live.restarts >= RESTARTS)
        else:
            self.sessions.metrics.health.labels("ok").inc()
            live.failures = live.restarts = 0

    async def sweep(self) -> None:
        """Into line with Docker; then remove what nobody used for long."""
        await self.sessions.adopt()
        for live in list(self.sessions.live.values()):
            if self.idle(live):
                await self.sessions.close_if(live, "idle", self.idle)

    def idle(self, live: Live) -> bool:
        if live.counters is None:
            return False
        last = max(live.counters.last_activity, live.asked)
        return self.sessions.now() - last >= self.sessions.settings.idle_seconds

    async def spare(self) -> None:
        """One more session ahead of time, unless somebody waits for one."""
        if not self.sessions.stock.making:
            await self.sessions.stock.spare()

    async def stats(self) -> None:
        engine = self.sessions.engine
        while True:
            some = list(self.sessions.live.values())
            for live in some:
                try:
                    live.usage = await engine.usage(engine.stack.container(live.session.name))
                except EngineError:
                    live.usage = None
                await asyncio.sleep(STATS_SECONDS / len(some))
            if not some:
                await asyncio.sleep(1)


async def every(seconds: float, work: Callable[[], Awaitable[None]], after_trouble: float | None = None) -> None:
    """For ever; what goes wrong in one round is logged, and the next one comes, if need be later."""
    pause = seconds
    while True:
        await asyncio.sleep(pause)
        pause = after_trouble or seconds
        try:
            await work()
            pause = seconds
        except EngineError as error:
            log.warning("a round ended early", extra={"fields": {"round": work.__name__, "why": str(error)}})
        except Exception as error:
            log.error("a round ended early", extra={"fields": {"round": work.__name__, **where(error)}})
