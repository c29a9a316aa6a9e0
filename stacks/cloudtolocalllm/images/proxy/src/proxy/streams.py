"""The streams of a session: what was asked, who waits for the answer, and how much may be on its way."""

from __future__ import annotations

import asyncio
from typing import Protocol

from .frames import MAX_BODY, Headers, ProtocolError, ReceiveWindow, SendWindow


class Problem(Exception):
    """A request that cannot be carried out. `status` and `retry_after` (seconds) are for HTTP."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


class Asker(Protocol):
    """Who waits for an answer. Nothing here waits: how much may come is limited by the credit that the asker gives."""

    def head(self, status: int, headers: Headers) -> None: ...

    def data(self, body: bytes, came: float) -> None:
        """`came` is the loop's time at which it was read from the desktop's connection."""

    def end(self) -> None: ...

    def credit(self, amount: int) -> None:
        """So many bytes more of the request's body may be sent."""

    def fail(self, problem: Problem) -> None: ...


class Stream:
    """One request and its answer, on the desktop's connection under the number `id`."""

    __slots__ = ("answering", "asked", "asker", "down", "id", "moved", "sent", "up")

    def __init__(self, number: int, asker: Asker) -> None:
        self.id = number
        self.asker = asker
        self.up = SendWindow()
        self.down = ReceiveWindow()
        self.asked = False
        """The request's body has ended."""
        self.answering = False
        self.sent = 0
        self.moved = asyncio.get_running_loop().time()

    def answer(self) -> None:
        if self.answering:
            raise ProtocolError("order", "a second answer")
        self.answering = True

    def receive(self, amount: int) -> None:
        if not self.answering:
            raise ProtocolError("order", "a body before its answer")
        self.down.receive(amount)

    def ask(self, amount: int) -> None:
        """A piece of the request's body goes out. Raises ProtocolError if it may not, Problem if it is too much."""
        if self.asked:
            raise ProtocolError("order", "a body after its end")
        if self.up.take(amount) != amount:
            raise ProtocolError("flow", "more was sent than there was credit for")
        self.sent += amount
        if self.sent > MAX_BODY:
            raise Problem(413, "body_too_large", f"A request has at most {MAX_BODY} bytes.")
