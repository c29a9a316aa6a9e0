"""Group commit: what arrives while one batch is under way goes into the next, all of it in one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from .web import Problem

T = TypeVar("T")
R = TypeVar("R")


class Batch(Generic[T, R]):
    """`await put(item)` is answered by `flush(items)`: a result or an exception for each item, in their order.

    One flush runs at a time, and waits `linger` seconds for company before it begins. A Problem that `flush` raises is
    every item's; after another exception each item is flushed alone, so that a bad one does not take the others with
    it. A caller who is cancelled leaves the item in the batch: what was put is done.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[T]], Awaitable[Sequence[R | BaseException]]],
        *,
        most: int = 256,
        linger: float = 0,
    ) -> None:
        self._flush = flush
        self._most = most
        self._linger = linger
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def put(self, item: T) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(self._linger)
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                results = await self._results([item for item, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    if future.done():
                        continue
                    if isinstance(result, BaseException):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._worker = None

    async def _results(self, items: Sequence[T]) -> Sequence[R | BaseException]:
        try:
            return await self._flush(items)
        except Problem as problem:
            return [problem] * len(items)
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [(await self._results([item]))[0] for item in items]
