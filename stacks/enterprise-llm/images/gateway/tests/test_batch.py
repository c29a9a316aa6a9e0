"""Group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from webservice.batch import Batch
from webservice.web import Problem


def test_what_waits_goes_together_and_in_order() -> None:
    flushed: list[list[int]] = []

    async def flush(items: Sequence[int]) -> list[int]:
        flushed.append(list(items))
        await asyncio.sleep(0.01)
        return [item * 2 for item in items]

    async def scenario() -> list[int]:
        batch = Batch(flush, most=4)
        return list(await asyncio.gather(*(batch.put(n) for n in range(10))))

    assert asyncio.run(scenario()) == [n * 2 for n in range(10)]
    assert flushed == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_one_flush_runs_at_a_time_and_nothing_is_left_behind() -> None:
    running = most = 0

    async def flush(items: Sequence[int]) -> list[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return list(items)

    async def scenario() -> None:
        batch = Batch(flush, most=2)
        for _ in range(20):
            # the next one comes at the very moment when a worker ends
            async with asyncio.timeout(10):
                await asyncio.gather(*(batch.put(n) for n in range(5)))

    asyncio.run(scenario())
    assert most == 1


def test_a_bad_item_fails_alone_and_a_problem_is_everybodys() -> None:
    async def flush(items: Sequence[int]) -> list[int]:
        if 9 in items:
            raise Problem(503, "away", "Away.")
        if 3 in items:
            raise ValueError
        return list(items)

    async def scenario(*items: int) -> list[object]:
        batch = Batch(flush)
        return list(await asyncio.gather(*(batch.put(n) for n in items), return_exceptions=True))

    one, bad, two = asyncio.run(scenario(1, 3, 2))
    assert (one, two) == (1, 2) and isinstance(bad, ValueError)
    assert all(isinstance(result, Problem) for result in asyncio.run(scenario(1, 9, 2)))


def test_a_caller_who_leaves_does_not_undo_what_was_put() -> None:
    done: list[int] = []

    async def flush(items: Sequence[int]) -> list[int]:
        await asyncio.sleep(0.01)
        done.extend(items)
        return list(items)

    async def scenario() -> None:
        batch = Batch(flush)
        leaving = asyncio.create_task(batch.put(1))
        staying = asyncio.create_task(batch.put(2))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await staying == 2

    asyncio.run(scenario())
    assert done == [1, 2]
