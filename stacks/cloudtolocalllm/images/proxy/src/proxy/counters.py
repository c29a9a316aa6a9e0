"""What GET /session tells: how much, how many, how long; never what."""

from __future__ import annotations

import resource
from collections import deque
from pathlib import Path

STATM = Path("/proc/self/statm")


class Counters:
    """Bytes are those of bodies: in from who asks, out to who asks. Times are Unix seconds."""

    def __init__(self, now: float) -> None:
        self.started = now
        self.last_activity = now
        self.requests = 0
        self.errors = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._added: deque[float] = deque(maxlen=512)

    def passed_on(self, size: int, seconds: float) -> None:
        """A piece of an answer went on to who asked, so long after it had come."""
        self.bytes_out += size
        self._added.append(seconds)

    def latency(self) -> dict[str, float]:
        """Milliseconds, over the last 512 pieces; zeros before the first."""
        ordered = sorted(self._added) or [0.0]
        return {f"p{share}": round(ordered[(len(ordered) - 1) * share // 100] * 1000, 3) for share in (50, 95)}


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * resource.getpagesize()
