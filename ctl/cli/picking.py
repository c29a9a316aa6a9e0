"""A choice at the terminal: a list to move in with the arrow keys, and to narrow by typing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ctl.cli.terminal import err, stdin_is_terminal


def can_pick() -> bool:
    """Whether somebody is there who sees what we ask and can answer."""
    return stdin_is_terminal() and err.is_terminal


def pick(question: str, rows: Sequence[tuple[str, ...]]) -> str:
    """The first column of the chosen row. What is typed is looked for in all of them. Raises KeyboardInterrupt."""
    # Only a person who picks waits for these.
    import questionary  # noqa: PLC0415
    from prompt_toolkit.output import create_output  # noqa: PLC0415

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    choices = [
        questionary.Choice(
            "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip(), row[0]
        )
        for row in rows
    ]
    chosen: str = questionary.select(
        question,
        choices,
        instruction="(arrows, or type to narrow)",
        use_jk_keys=False,
        use_search_filter=True,
        output=create_output(stdout=sys.stderr),
    ).unsafe_ask()
    return chosen
