"""How often one may ask: counted in Redis for all replicas together, in memory while there is no Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from webservice.batch import Batch
from webservice.limits import PERIOD, Count, Memory

log = logging.getLogger("gateway")
PATIENCE = 0.1
"""Seconds that one batch waits for Redis; then memory counts, and Redis is asked again in the background."""
PROBE_SECONDS = 1.0

# The generic cell rate algorithm: one number a key, when its bucket will be full again. The server's clock counts.
SCRIPT = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local period, step = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if full + step - period > now then return tostring(now - full) end
full = full + step
redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
return tostring(full - now)
"""


class Limits:
    def __init__(self, url: str) -> None:
        self._redis = (
            redis.Redis.from_url(
                url,
                max_connections=2,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 1),
                health_check_interval=0,
            )
            if url
            else None
        )
        self._up = False
        self._memory = Memory()
        self._batch: Batch[tuple[str, float], float] = Batch(self._flush)
        self._wake = asyncio.Event()

    @property
    def shared(self) -> bool:
        """Whether Redis counts."""
        return self._up

    async def count(self, kind: str, who: str, limit: int) -> Count:
        return Count(limit, await self._batch.put((f"limit:{kind}:{who}", PERIOD / limit)))

    async def probe(self) -> None:
        """Runs beside the requests, for ever: finds Redis again."""
        while self._redis is not None:
            if not self._up:
                try:
                    async with asyncio.timeout(1):
                        await self._redis.execute_command("PING")  # type: ignore[no-untyped-call]
                except (RedisError, OSError, TimeoutError):
                    pass
                else:
                    self._up = True
                    log.info("limits are counted in Redis")
            self._wake.clear()
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _flush(self, items: Sequence[tuple[str, float]]) -> Sequence[float]:
        if self._up and self._redis is not None:
            try:
                async with asyncio.timeout(PATIENCE):
                    pipeline = self._redis.pipeline(transaction=False)
                    for key, step in items:
                        pipeline.eval(SCRIPT, 1, key, str(PERIOD), repr(step))
                    return [float(used) for used in await pipeline.execute()]
            except (RedisError, OSError, TimeoutError) as error:
                self._up = False
                self._wake.set()
                log.warning(
                    "Redis does not answer; limits are counted in memory",
                    extra={"fields": {"type": type(error).__name__}},
                )
        return [self._memory.spend(key, step) for key, step in items]
