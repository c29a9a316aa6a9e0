"""When to try again."""

from __future__ import annotations

FIRST = 1.0
MOST = 60.0


def delay(failures: int, chance: float, at_least: float = 0.0) -> float:
    """Seconds to wait after so many failures in a row (one, if it is the first). `chance` is in [0, 1): the jitter.

    The span doubles from one second to a minute, and the wait is somewhere in its upper half: many desktops that lost
    the same server do not come back in the same moment. `at_least` is what the server asked for.
    """
    span = min(FIRST * 2.0 ** min(max(failures - 1, 0), 16), MOST)
    return max(span * (0.5 + chance / 2), min(at_least, 10 * MOST))
