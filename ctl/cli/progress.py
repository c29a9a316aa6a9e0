"""Events of a run, as they arrive, on stderr: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.status import Status
from rich.text import Text

from ctl.cli.terminal import err
from ctl.core.release import Release
from ctl.core.report import Event


class Progress:
    """Shows one host's run; a context manager, so that the moving line is always taken away again."""

    def __init__(self, release: Release, *, prefix: str = "", moving: bool = True) -> None:
        self.titles = {step.id: step.title for step in release.steps}
        self.watched = {step.id for step in release.steps if step.interactive}
        self.watching = False
        self.prefix = prefix
        self.files = 0
        self.doing = ""
        self.status: Status | None = (
            err.console.status("", spinner="dots") if moving and err.console.is_interactive else None
        )

    def __enter__(self) -> Self:
        if self.status:
            self.status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status:
            self.status.stop()

    def take(self, event: Event) -> None:
        words = event.words
        if event.kind != "put" and self.files:
            self.say("✓", "green", f"{self.files} file{'s' if self.files != 1 else ''} written")
            self.files = 0
        if event.kind == "put":
            self.files += 1
        elif event.kind == "phase":
            self.say("", "bold", words[0])
        elif event.kind == "step":
            self.watching = words[0] in self.watched
            self.now(self.titles.get(words[0], words[0]))
        elif event.kind == "done":
            self.say("✓", "green", self.titles.get(words[0], words[0]), f"{words[-1]} s")
        elif event.kind == "warn":
            self.say("!", "yellow", f"not done: {self.titles.get(words[0], words[0])}")
        elif event.kind == "pull":
            self.now(f"pulling {words[0]}")
        elif event.kind == "build":
            self.now(f"building {words[0]}")
        elif event.kind == "roll":
            self.now(f"replacing {words[0]}, one at a time")
        elif event.kind == "keep":
            self.now(f"keeping the data of {', '.join(words[1:])} until the upgrade has gone through")
        elif event.kind == "up":
            self.now(f"starting {', '.join(words)}")
        elif event.kind == "healthy":
            self.say("✓", "green", f"{words[0]} is healthy")
        elif event.kind == "unhealthy":
            self.say("✗", "red", f"{words[0]} is {' '.join(words[1:])}")
        elif event.kind == "fail":
            self.say("✗", "red", f"{words[0]} {self.titles.get(words[1], words[1]) if len(words) > 1 else ''}")
        elif event.kind == "rollback":
            self.say("", "yellow", f"going back to release {words[0]}")
        elif event.kind in {"del", "remove"}:
            self.say("✓", "green", f"{words[0]} is gone")
        elif event.kind == "output" and self.watching:
            err.console.print(Text(event.text))
        elif event.kind == "output" and self.status:
            self.status.update(self.both(event.text))

    def now(self, what: str) -> None:
        self.doing = what
        if self.status:
            self.status.update(Text(what))
        else:
            self.say("…", "dim", what)

    def both(self, said: str) -> Text:
        """What is being done and what was said of it, on one line: at least half of it for each."""
        room = err.console.width - 6
        said = said[: max(room // 2, room - len(self.doing))]
        doing = self.doing if len(self.doing) + len(said) <= room else f"{self.doing[: room - len(said) - 1]}…"
        return Text.assemble(doing, (f"  {said}", "dim"))

    def say(self, sign: str, style: str, text: str, note: str = "") -> None:
        head = f"{self.prefix}{'  ' + sign + ' ' if sign else ''}"
        line = Text.assemble((head, style), (text, "bold" if not sign else ""), (f"  {note}" if note else "", "dim"))
        err.console.print(line)
