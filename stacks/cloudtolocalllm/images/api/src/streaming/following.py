"""The record of sessions kept current: what the user-manager has is asked for every few seconds, by one replica."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from webservice.web import Problem

from .metrics import Metrics
from .settings import Settings
from .store import Change, Over, Store, clock
from .user_manager import UserManager

log = logging.getLogger("streaming")
LOCK = 0x666F6C6C6F777331
"""Of the advisory lock of the replica that does this: "follows1"."""
PRUNE_SECONDS = 3600


class Following:
    def __init__(self, settings: Settings, store: Store, manager: UserManager, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._manager = manager
        self._metrics = metrics
        self._prune_at = 0.0
        self._troubled = False

    async def run(self) -> None:
        """Runs beside the requests, for ever. Another replica goes on when this one or its connection ends."""
        pause = self._settings.poll_seconds
        while True:
            if self._store.ready:
                try:
                    async with self._store.alone(LOCK) as db:
                        while db is not None:
                            self._metrics.follows.set(1)
                            await self._look(db)
                            await asyncio.sleep(pause)
                except Exception:
                    log.warning("sessions are not followed; it is tried again", exc_info=True)
                finally:
                    for gauge in (self._metrics.follows, self._metrics.live, self._metrics.desktops):
                        gauge.set(0)
            await asyncio.sleep(pause if self._store.ready else 1)

    async def _look(self, db: AsyncConnection) -> None:
        asked = await clock(db)
        try:
            listing = await self._manager.sessions()
        except Problem:
            if not self._troubled:
                log.warning("the sessions cannot be asked for; the record stays as it is")
            self._troubled = True
            return
        self._troubled = False
        change = await self._store.follow(db, [*listing.sessions, *listing.ended], asked)
        before = asked - timedelta(seconds=self._settings.lost_seconds)
        lost = await self._store.lost(db, [one.session_id for one in listing.sessions], before)
        self._metrics.live.set(len(listing.sessions))
        self._metrics.desktops.set(sum(bool(one.counters and one.counters.desktop) for one in listing.sessions))
        self.changed(change)
        self.ended(lost)
        now = asyncio.get_running_loop().time()
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_SECONDS
            if gone := await self._store.prune(db, asked):
                log.info("old sessions are forgotten", extra={"fields": {"sessions": gone}})

    def changed(self, change: Change) -> None:
        self._metrics.created.inc(change.new)
        self._metrics.bytes.labels("in").inc(change.bytes_in)
        self._metrics.bytes.labels("out").inc(change.bytes_out)
        self.ended(change.over)

    def ended(self, sessions: Sequence[Over]) -> None:
        for one in sessions:
            self._metrics.ended.labels(one.reason).inc()
            self._metrics.lasted.observe(one.seconds)
            log.info("session ended", extra={"fields": {"reason": one.reason, "seconds": round(one.seconds)}})
