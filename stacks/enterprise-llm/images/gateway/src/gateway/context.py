"""What of a conversation fits the model's context, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .engine import Turn

TITLE = 60
OVERHEAD = 6
"""Tokens that a message costs beside its text."""


def tokens_of(text: str) -> int:
    """An estimate that is rather too high: three bytes a token (English has four to five, Chinese three)."""
    return len(text.encode()) // 3 + 1


def fit(turns: Sequence[Turn], system: str, budget: int) -> list[Turn] | None:
    """The system's words and the latest turns, within `budget` tokens and beginning with a user's; None if not even
    the last one fits."""
    kept: list[Turn] = []
    head = [Turn("system", system)] if system else []
    left = budget - sum(tokens_of(turn.content) + OVERHEAD for turn in head)
    for turn in reversed(turns):
        left -= tokens_of(turn.content) + OVERHEAD
        if left < 0:
            break
        kept.append(turn)
    if not kept:
        return None
    kept.reverse()
    while kept[0].role != "user" and len(kept) > 1:
        del kept[0]
    return head + kept


def title_of(text: str) -> str:
    """The first words of a message, without its Markdown."""
    line = next((line for line in text.splitlines() if re.search(r"\w", line)), text)
    plain = " ".join(re.sub(r"^[#>*\s`-]+|[*`]+", "", line).split()) or "New chat"
    if len(plain) <= TITLE:
        return plain
    return plain[: TITLE - 1].rsplit(" ", 1)[0].rstrip(",;:.") + "…"
