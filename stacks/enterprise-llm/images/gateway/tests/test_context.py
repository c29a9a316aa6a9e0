"""What of a conversation a model is given, and what a session is called."""

from __future__ import annotations

import pytest
from gateway.context import fit, title_of, tokens_of
from gateway.engine import Turn


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("\n\n## How does `snake_case` work?\nTell me.", "How does snake_case work?"),
        ("> * quoted **words**", "quoted words"),
        ("   \n\t", "New chat"),
        ("***", "New chat"),
        ("word " * 40, "word word word word word word word word word word word…"),
        ("日本語" * 30, "日本語" * 19 + "日本…"),
    ],
)
def test_titles(text: str, title: str) -> None:
    assert title_of(text) == title and len(title) <= 60


def test_the_latest_turns_that_fit_begin_with_a_users() -> None:
    turns = [Turn("user" if n % 2 == 0 else "assistant", f"{n} " + "x" * 300) for n in range(9)]
    kept = fit(turns, "Be brief.", 500)
    assert kept is not None and kept[0] == Turn("system", "Be brief.") and kept[1].role == "user"
    assert kept[-1] is turns[-1] and len(kept) == 4
    assert fit(turns[-1:], "", 50) is None


@pytest.mark.parametrize(
    "text", ["hello world, how are you today?" * 20, "日本語のテキスト" * 20, "def f(x):\n    return x\n" * 20]
)
def test_the_estimate_is_rather_too_high(text: str) -> None:
    # tokenizers of today make of English a token out of more than four letters, of Japanese one or two out of a sign
    assert tokens_of(text) >= len(text) / 4
