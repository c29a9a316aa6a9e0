"""How many sessions of the stack cloudtolocalllm a host takes, in real containers, and how long they take to begin.

    .venv/bin/python bench/sessions.py [--most 200] [--at-once 20] [--spares 10]

Needs root and Docker, for a lab host on which the stack is deployed from bare. So many people at once ask the API for a
session, as the portal does, over TLS through nginx; what is timed is until their proxies answer. Before, it is waited
until there are as many sessions ahead of time as there are to be (`--spares`), as there are at rest. Memory is what the
whole machine has less afterwards: the container, its shim, its network, and what nginx, Docker and the manager need for
it. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/lab"))

from lab_cloud import ADMIN, DOMAIN, PASSWORD, SPARES, Cloud, deployed, host_of
from lab_project import until


class Folders:
    """What the tests are given by pytest."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def mktemp(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._top))


def available() -> float:
    """MiB of this machine."""
    line = next(each for each in Path("/proc/meminfo").read_text().splitlines() if each.startswith("MemAvailable"))
    return int(line.split()[1]) / 1024


def register(cloud: Cloud, email: str) -> None:
    who = {"email": email, "password": PASSWORD, "name": email.partition("@")[0]}
    made = cloud.ask("POST", DOMAIN, "/auth/users", who, cloud.log_in(ADMIN))
    if made.status != 201:
        raise SystemExit(f"no account for {email}: {made.status}")
    cloud.log_in(email)


def timed(cloud: Cloud, email: str) -> tuple[float, str]:
    """Seconds until the person's proxy answers, and its name."""
    began = time.perf_counter()
    session = cloud.session(email)
    return time.perf_counter() - began, host_of(session)


def health(cloud: Cloud, name: str) -> float:
    began = time.perf_counter()
    if cloud.ask("GET", name, "/health").status != 200:
        raise SystemExit(f"{name} does not answer")
    return (time.perf_counter() - began) * 1000


def share(values: list[float], percent: int) -> float:
    return sorted(values)[(len(values) - 1) * percent // 100]


def rest(cloud: Cloud, spares: int) -> None:
    until("all that are begun ahead of time", lambda: len(cloud.spares()) == spares, seconds=120, every=1)
    time.sleep(3)


def measure(cloud: Cloud, most: int, at_once: int, spares: int) -> None:
    names: list[str] = []
    timed(cloud, ADMIN)  # the first one of all is not what is measured
    rest(cloud, spares)
    before = available()
    while len(names) < most:
        people = [f"person-{len(names) + n}@example.com" for n in range(min(at_once, most - len(names)))]
        for email in people:
            register(cloud, email)
        rest(cloud, spares)
        with ThreadPoolExecutor(at_once) as pool:
            begun = list(pool.map(lambda email: timed(cloud, email), people))
        names += [name for _, name in begun]
        seconds = [took for took, _ in begun]
        rest(cloud, spares)
        p50, p95 = share(seconds, 50), share(seconds, 95)
        began = f"{len(people)} at once: p50 {p50:.1f} s, p95 {p95:.1f} s, the last {max(seconds):.1f} s"
        size = (before - available()) / len(names)
        print(f"{len(names):4} sessions; {began}; {size:.1f} MiB each; load {os.getloadavg()[0]:.1f}", flush=True)
    answers = [health(cloud, name) for name in names]
    print(f"each asked once through nginx: median {statistics.median(answers):.1f} ms, p95 {share(answers, 95):.1f} ms")
    print(f"{len(cloud.proxies())} containers run")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--spares", type=int, default=SPARES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folders: Any = Folders(Path(folder))
        with deployed(folders, vars={"spare_sessions": given.spares}) as cloud:
            measure(cloud, given.most, given.at_once, given.spares)


if __name__ == "__main__":
    main()
