"""A choice at the terminal: a list to move in with the arrow keys, and to narrow by typing."""

from __future__ import annotations

import string
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctl.cli.terminal import err, stdin_is_terminal

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.key_binding import KeyBindings

Row = tuple[str, ...]


def can_pick() -> bool:
    """Whether somebody is there who sees what we ask and can answer."""
    return stdin_is_terminal() and err.is_terminal


@dataclass
class _List:
    """What is shown: the rows that hold every word that was typed, and which of them is pointed at."""

    rows: Sequence[Row]
    typed: str = ""
    at: int = 0

    @property
    def found(self) -> list[Row]:
        words = self.typed.lower().split()
        return [row for row in self.rows if all(word in " ".join(row).lower() for word in words)]

    def move(self, by: int) -> None:
        self.at = max(0, min(self.at + by, len(self.found) - 1))

    def type(self, typed: str) -> None:
        self.typed, self.at = typed, 0

    def lines(self) -> StyleAndTextTuples:
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines: StyleAndTextTuples = []
        for number, row in enumerate(self.found):
            text = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            here = number == self.at
            lines += [("bold" if here else "", f"{'›' if here else ' '} {text}"), ("", "\n")]
        return lines[:-1] or [("italic", "  nothing in the list has that in it")]


def pick(question: str, rows: Sequence[Row]) -> str:
    """The first column of the chosen row. What is typed is looked for in all of them. Raises KeyboardInterrupt."""
    # Only a person who picks waits for these.
    from prompt_toolkit.application import Application  # noqa: PLC0415
    from prompt_toolkit.data_structures import Point  # noqa: PLC0415
    from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window  # noqa: PLC0415
    from prompt_toolkit.output import create_output  # noqa: PLC0415

    shown = _List(rows)

    def head() -> StyleAndTextTuples:
        way = ("bold", shown.typed) if shown.typed else ("ansibrightblack", "(arrows, or type to narrow; Enter)")
        return [("bold ansicyan", f"{question} "), way]

    def about() -> str:
        return shown.found[shown.at][-1] if shown.found else ""

    entries = FormattedTextControl(shown.lines, show_cursor=False, get_cursor_position=lambda: Point(0, shown.at))
    body = HSplit(
        [
            Window(FormattedTextControl(head), height=1),
            Window(entries, height=lambda: min(len(rows), 12), dont_extend_height=True),
            # The last column in full: the list is cut at the terminal's edge.
            Window(FormattedTextControl(about), wrap_lines=True, dont_extend_height=True, style="ansibrightblack"),
        ]
    )
    app: Application[str] = Application(
        Layout(body), key_bindings=_keys(shown), output=create_output(stdout=sys.stderr), erase_when_done=True
    )
    chosen = app.run()
    err.line((f"{question} ", "bold cyan"), (chosen, "bold"))
    return chosen


def _keys(shown: _List) -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent  # noqa: PLC0415

    keys = KeyBindings()
    for key, by in (("up", -1), ("down", 1), ("pageup", -10), ("pagedown", 10), ("home", -9999), ("end", 9999)):
        keys.add(key)(lambda _, by=by: shown.move(by))
    for letter in string.ascii_letters + string.digits + string.punctuation + " ":
        keys.add(letter)(lambda _, letter=letter: shown.type(shown.typed + letter))
    keys.add("backspace")(lambda _: shown.type(shown.typed[:-1]))

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        if shown.found:
            event.app.exit(result=shown.found[shown.at][0])

    @keys.add("c-c")
    @keys.add("c-d")
    def _(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt)

    return keys
