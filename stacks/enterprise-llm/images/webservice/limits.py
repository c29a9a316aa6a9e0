"""How often one may ask, by the generic cell rate algorithm: one number a key, when its bucket will be full again."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from .web import Problem

PERIOD = 60.0
MOST_KEYS = 50_000


@dataclass(frozen=True)
class Count:
    """One request against `limit` a minute. `used` seconds of the period are spent; negative if it was refused."""

    limit: int
    used: float

    @property
    def step(self) -> float:
        return PERIOD / self.limit

    @property
    def headers(self) -> dict[str, str]:
        remaining = max(0, math.floor((PERIOD - abs(self.used)) / self.step + 1e-6))
        return {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(remaining),
            "ratelimit-reset": str(math.ceil(abs(self.used))),
        }

    def check(self) -> None:
        """Raises Problem 429."""
        if self.used < 0:
            wait = math.ceil(-self.used + self.step - PERIOD)
            problem = Problem(429, "rate_limited", "Too many requests. Wait a little.", retry_after=wait)
            problem.headers.update(self.headers)
            raise problem


class Memory:
    """The buckets of one process."""

    def __init__(self) -> None:
        self._full: dict[str, float] = {}

    def count(self, key: str, limit: int) -> Count:
        return Count(limit, self.spend(key, PERIOD / limit))

    def spend(self, key: str, step: float) -> float:
        """The seconds of the period that are spent; negative if there are not `step` left."""
        now = time.monotonic()
        if len(self._full) > MOST_KEYS:
            self._full = {known: full for known, full in self._full.items() if full > now}
        full = max(self._full.get(key, 0.0), now)
        if full + step - PERIOD > now + 1e-6:
            return now - full
        self._full[key] = full + step
        return full + step - now
