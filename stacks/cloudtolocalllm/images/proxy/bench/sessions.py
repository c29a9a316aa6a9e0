"""What a session costs: memory of idle proxies, time added to a piece of an answer, and both as sessions grow.

    python bench/sessions.py idle [--sessions 20]
    python bench/sessions.py latency [--streams 10] [--rounds 3]
    python bench/sessions.py growth [--most 1000] [--ms 500] [--minutes 14]    growth.json, growth.svg

Every proxy is a process of its own with a session of its own, started as its container starts it. Desktops, readers
and, for comparison, the same answers without a proxy are in this process; what it costs itself is in both figures.
`growth` leads desktops and readers through one nginx, as the stack does (but without TLS, whose cost in this process
would be measured too); it needs Docker and an image of nginx.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent / "tests")]

from ingress import Ingress  # noqa: E402
from plot import plot  # noqa: E402
from standin import Desktop, Direct, Reader  # noqa: E402
from world import Proxy, free_port, memory  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
STEPS = (50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
PORTS = iter(range(12000, 32000))
"""Below those that the kernel gives to connections: thousands of them would take one away that is to be listened at."""
READY_SECONDS = 60
RESERVE = 2500
"""MiB that are left to others on this machine."""


def share(values: list[float], percent: int) -> float:
    return round(sorted(values)[(len(values) - 1) * percent // 100], 2)


def load() -> float:
    return round(os.getloadavg()[0], 1)


def available() -> int:
    """MiB."""
    line = next(each for each in Path("/proc/meminfo").read_text().splitlines() if each.startswith("MemAvailable"))
    return int(line.split()[1]) // 1024


def processor(pids: Iterable[int]) -> float:
    """Seconds of processor time so far."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICK


class Fleet:
    """Proxies, each with its desktop and, if wanted, one who reads a stream."""

    def __init__(self, folder: Path, ms: float, ingress: Ingress | None = None) -> None:
        self._folder = folder
        self._ms = ms
        self.ingress = ingress
        self.proxies: list[Proxy] = []
        self.desktops: list[Desktop] = []
        self.readers: list[Reader] = []
        self.seen: list[float] = []
        self.starts: list[float] = []

    async def grow(self, count: int, at_once: int = 20, ends: float = float("inf")) -> None:
        """Up to so many, or until that time of the monotonic clock."""
        if not self.proxies:
            await self._one()  # leaves the bytecode that the image has
            self.starts.clear()
        while (missing := count - len(self.proxies)) > 0 and time.monotonic() < ends:
            await asyncio.gather(*(self._one() for _ in range(min(missing, at_once))))

    async def _one(self) -> None:
        proxy = Proxy(
            port=next(PORTS), settings={"PYTHONPYCACHEPREFIX": str(self._folder / "pyc"), "PYTHONOPTIMIZE": "2"}
        )
        began = time.perf_counter()
        await asyncio.to_thread(proxy.start, self._folder / "log")
        self.starts.append(time.perf_counter() - began)
        self.proxies.append(proxy)
        loop = asyncio.get_running_loop()
        _, desktop = await loop.create_connection(lambda: Desktop(proxy, self._ms), "127.0.0.1", self._port(proxy))
        await asyncio.wait_for(desktop.ready, READY_SECONDS)
        self.desktops.append(desktop)

    async def stream(self) -> None:
        """Whoever has no reader yet gets one."""
        for proxy in self.proxies[len(self.readers) :]:
            await self.read(proxy)

    async def read(self, proxy: Proxy) -> None:
        loop = asyncio.get_running_loop()
        _, reader = await loop.create_connection(lambda: Reader(proxy, self.seen), "127.0.0.1", self._port(proxy))
        self.readers.append(reader)
        await asyncio.sleep(self._ms / 1000 / 20)  # not all in the same instant

    def _port(self, proxy: Proxy) -> int:
        return self.ingress.port if self.ingress else proxy.port

    def memory(self) -> dict[str, float]:
        """MiB, of all together."""
        each = [memory(proxy.pid) for proxy in self.proxies]
        return {name: round(sum(one[name] for one in each), 1) for name in ("Rss", "Pss", "Private")}

    def cpu(self) -> float:
        """Seconds of processor time of all proxies so far."""
        return processor(each.pid for each in self.proxies)

    def end(self) -> None:
        for reader in self.readers:
            reader.transport.abort()
        for proxy in self.proxies:
            proxy.stop(signal.SIGKILL)


class Control:
    """The same answers without a proxy."""

    def __init__(self, ms: float) -> None:
        self._ms = ms
        self._port = free_port()
        self.seen: list[float] = []
        self.readers: list[Reader] = []

    async def start(self, streams: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: Direct(self._ms), "127.0.0.1", self._port)
        for _ in range(streams):
            _, reader = await loop.create_connection(lambda: Reader(None, self.seen), "127.0.0.1", self._port)
            self.readers.append(reader)
            await asyncio.sleep(self._ms / 1000 / 20)


async def idle(fleet: Fleet, given: argparse.Namespace) -> None:
    await fleet.grow(given.sessions, at_once=20)
    await asyncio.sleep(2)
    all_of_them = fleet.memory()
    each = ", ".join(f"{name} {size / given.sessions:.1f} MiB" for name, size in all_of_them.items())
    print(f"{given.sessions} idle proxies, each with its desktop: {each}; load {load()}")
    print(f"start, 20 at once: median {share(fleet.starts, 50)} s, p95 {share(fleet.starts, 95)} s")
    before = fleet.cpu()
    await asyncio.sleep(20)
    print(f"processor of an idle proxy: {(fleet.cpu() - before) / 20 / given.sessions:.3%} of a core")


async def latency(fleet: Fleet, given: argparse.Namespace) -> None:
    control = Control(given.ms)
    await fleet.grow(1)
    await control.start(given.streams)
    for _ in range(given.streams):
        await fleet.read(fleet.proxies[0])
    added = []
    for _ in range(given.rounds):
        await asyncio.sleep(2)
        fleet.seen.clear()
        control.seen.clear()
        before = fleet.cpu()
        await asyncio.sleep(10)
        cost = (fleet.cpu() - before) / len(fleet.seen) * 1e6
        through, straight = fleet.seen, control.seen
        added.append(share(through, 50) - share(straight, 50))
        print(
            f"{given.streams} streams, {given.ms:g} ms a piece: directly p50 {share(straight, 50)} p95"
            f" {share(straight, 95)} ms; through the proxy p50 {share(through, 50)} p95 {share(through, 95)} ms; added"
            f" at the median {added[-1]:.2f} ms; {cost:.0f} µs of a core a piece; load {load()}"
        )
    print(f"added at the median, median of the rounds: {median(added):.2f} ms")


async def growth(fleet: Fleet, given: argparse.Namespace) -> None:
    assert fleet.ingress is not None
    nginx = fleet.ingress.processes()
    control = Control(given.ms)
    await control.start(20)
    ends = time.monotonic() + given.minutes * 60
    rows: list[dict[str, float]] = []
    for step in (each for each in STEPS if each <= given.most):
        if available() < RESERVE:
            print(f"ended before {step} sessions: {available()} MiB are left")
            break
        fleet.starts.clear()
        await fleet.grow(step, ends=ends)
        if len(fleet.proxies) < step:
            print(f"ended at {len(fleet.proxies)} sessions: no time is left")
            break
        await fleet.stream()
        await asyncio.sleep(3)
        fleet.seen.clear()
        control.seen.clear()
        before, before_nginx, began = fleet.cpu(), processor(nginx), time.perf_counter()
        await asyncio.sleep(8)
        used, used_nginx = fleet.cpu() - before, processor(nginx) - before_nginx
        seconds = time.perf_counter() - began
        through, straight = list(fleet.seen), list(control.seen)
        row = {
            "sessions": step,
            **fleet.memory(),
            "pieces_per_second": round(len(through) / seconds),
            "wanted_per_second": round(step * 1000 / given.ms),
            "lost": sum(reader.lost for reader in fleet.readers),
            "p50": share(through, 50),
            "p95": share(through, 95),
            "direct_p50": share(straight, 50),
            "direct_p95": share(straight, 95),
            "cores": round(used / seconds, 2),
            "nginx_cores": round(used_nginx / seconds, 2),
            "nginx_Pss": round(sum(memory(pid)["Pss"] for pid in nginx), 1),
            "start_p95_s": share(fleet.starts, 95),
            "load": load(),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
        said = {"ms": given.ms, "processors": os.cpu_count(), "rows": rows}
        (HERE / "growth.json").write_text(json.dumps(said, indent=1) + "\n")
        (HERE / "growth.svg").write_text(plot(rows))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("idle", "latency", "growth"))
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--ms", type=float)
    parser.add_argument("--minutes", type=float, default=14)
    given = parser.parse_args()
    given.ms = given.ms or (500 if given.what == "growth" else 20)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = Path(tempfile.mkdtemp(prefix="proxies-"))
    what = {"idle": idle, "latency": latency, "growth": growth}[given.what]

    async def run() -> None:
        fleet = Fleet(folder, given.ms, ingress)
        task = asyncio.current_task()
        if task is not None:  # who ends the bench ends its proxies
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            await what(fleet, given)
        finally:
            fleet.end()

    ingress = Ingress(folder) if given.what == "growth" else None
    try:
        asyncio.run(run())
    finally:
        if ingress is not None:
            ingress.end()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
