"""How long sessions take to start: `python bench/starts.py [AT_ONCE] [ROUNDS]`, on the tests' own site."""

from __future__ import annotations

import contextlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from world import Site


def timed(client: httpx.Client, name: str) -> float:
    began = time.perf_counter()
    answer = client.put("/sessions", json={"name": name})
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - began


def value(lines: list[str], name: str) -> float:
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def main() -> None:
    at_once, rounds = (int(given) for given in (sys.argv[1:] + ["20", "3"][len(sys.argv) - 1 :]))
    site = Site()
    try:
        manager = site.start()
        for number in range(rounds):
            with ThreadPoolExecutor(at_once) as pool, contextlib.ExitStack() as stack:
                # made before: a client costs as much processor time as a good part of a start
                clients = [stack.enter_context(manager.client()) for _ in range(at_once)]
                names = [f"b{number}-{one}" for one in range(at_once)]
                seconds = sorted(pool.map(timed, clients, names))
            p50, p95 = seconds[len(seconds) // 2], seconds[min(len(seconds) - 1, len(seconds) * 95 // 100)]
            print(f"{at_once} at once: p50 {p50:.2f} s, p95 {p95:.2f} s, the last {seconds[-1]:.2f} s")
            began = time.perf_counter()
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(lambda one: manager.end(one["sessionId"]), manager.all()["sessions"]))
            print(f"  ended in {time.perf_counter() - began:.2f} s")
        with manager.client() as client:
            lines = client.get("/metrics").text.splitlines()
        for call in ("doors", "create_network", "join", "create", "start", "stop", "remove", "part", "remove_network"):
            count, total = (value(lines, f'users_docker_seconds_{what}{{call="{call}"}}') for what in ("count", "sum"))
            print(f"  {call}: {total / count * 1000:.0f} ms on average")
    finally:
        site.close()


if __name__ == "__main__":
    main()
