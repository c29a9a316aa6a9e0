"""stdout is data, stderr is progress. Text from outside is always literal: no markup is read in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from ctl.core.errors import CtlError


class Terminal:
    """One of the two outputs."""

    def __init__(self, *, stderr: bool) -> None:
        self.console = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        return self.console.is_terminal

    def line(self, *parts: str | tuple[str, str], end: str = "\n") -> None:
        """Parts are texts, or texts with a style."""
        self.console.print(Text.assemble(*parts), soft_wrap=True, end=end)

    def print_error(self, message: str, hint: str = "") -> None:
        self.line(("error: ", "bold red"), message)
        if hint:
            self.line(("hint:  ", "bold cyan"), hint)


out = Terminal(stderr=False)
err = Terminal(stderr=True)


def tell(error: CtlError) -> None:
    """An error for a person, on stderr."""
    err.print_error(error.message, error.hint)


def print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def stdin_is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def enumerated(words: Iterable[str]) -> str:
    """`a, b and c`"""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
