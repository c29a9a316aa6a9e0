"""How much later the first token comes through the gateway than from the model server itself.

    python bench/first_token.py [--streams 200] [--seconds 12] [--rounds 3] [--replicas 2]

Real Postgres, real Redis, gateway processes asked in turn as the stack's proxy asks its replicas, and a stand-in for a
model server that takes 20 ms a token: all of it, and the clients, on this machine. Streams are opened
one after the other by as many clients as there are streams, spread over the length of an answer, so that all of them
are open all the time; rounds against the stand-in and through the gateway alternate. A last round opens all of them at
once. A message is on the disk before its answer begins, so a busy disk shows; TMPDIR=/dev/shm leaves it out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import cast

import uvloop

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from world import Issuer, Postgres, Redis, free_port  # noqa: E402

MS = 20
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """First tokens and gaps between tokens, in milliseconds."""

    first: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    answers: int = 0
    tokens: int = 0
    failed: int = 0


class Stream(asyncio.Protocol):
    """One request on a connection of its own; the answer is looked at as little as possible."""

    def __init__(self, request: bytes, mark: bytes, end: bytes, seen: Seen) -> None:
        self._request, self._mark, self._end, self._seen = request, mark, end, seen
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last = 0.0
        self._tail = b""
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none of asyncio's
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if many := data.count(self._mark):
            if not self._last:
                self._seen.first.append((now - self._began) * 1000)
            else:
                self._seen.gaps.append((now - self._last) * 1000)
            self._last = now
            self._seen.tokens += many
        self._tail = (self._tail + data)[-5:]
        self._ended = self._ended or self._end in data
        if self._tail.endswith(b"0\r\n\r\n"):
            self._transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._seen.answers += self._ended
        self._seen.failed += not self._ended
        self.done.set_result(None)


@dataclass
class Way:
    """Where to ask, and how."""

    name: str
    ports: Sequence[int]
    path: str
    body: dict[str, object]
    mark: bytes
    end: bytes
    tokens: Sequence[str] = ("",)

    def request(self, number: int) -> bytes:
        body = json.dumps(self.body).encode()
        token = self.tokens[number % len(self.tokens)]
        lines = [f"POST {self.path} HTTP/1.1", "host: bench", "content-type: application/json"]
        lines += [f"content-length: {len(body)}", *([f"authorization: Bearer {token}"] if token else []), "", ""]
        return "\r\n".join(lines).encode() + body


async def ask(way: Way, number: int, seen: Seen) -> None:
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(
        lambda: Stream(way.request(number), way.mark, way.end, seen), "127.0.0.1", way.ports[number % len(way.ports)]
    )
    await stream.done


async def steady(way: Way, streams: int, seconds: float, length: float) -> Seen:
    """All streams open all the time: each client begins the next one as soon as one ends."""
    seen, warm = Seen(), Seen()
    began = time.perf_counter()

    async def client(number: int) -> None:
        await asyncio.sleep(length * number / streams)
        await ask(way, number, warm)
        while time.perf_counter() - began < seconds:
            await ask(way, number, seen)

    await asyncio.gather(*(client(number) for number in range(streams)))
    return seen


async def burst(way: Way, streams: int) -> Seen:
    seen = Seen()
    await asyncio.gather(*(ask(way, number, seen) for number in range(streams)))
    return seen


def line(name: str, seen: Seen) -> str:
    first, gaps = quantiles(seen.first, n=20), quantiles(seen.gaps, n=100)
    return (
        f"{name:24} first token: median {median(seen.first):6.1f} ms, p95 {first[18]:6.1f} ms   "
        f"between tokens: median {gaps[49]:5.1f} ms, p99 {gaps[98]:5.1f} ms   "
        f"{seen.answers} answers, {seen.tokens} tokens, {seen.failed} failed"
    )


def cpu(processes: Sequence[subprocess.Popen[bytes]]) -> float:
    """Seconds of processor time of processes so far."""
    stats = [Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split() for process in processes]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICK


async def wait(port: int, path: str) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n".encode())
            status = await reader.readline()
            writer.close()
            if b" 200 " in status:
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)


async def measure(
    given: argparse.Namespace,
    issuer: Issuer,
    gateways: Sequence[subprocess.Popen[bytes]],
    ports: Sequence[int],
) -> float:
    standin_port, *gateway_ports = ports
    await wait(standin_port, "/api/version")
    for port in gateway_ports:
        await wait(port, "/readyz")
    users = [issuer.token(f"user{n}") for n in range(50)]
    asked: list[dict[str, object]] = [{"role": "user", "content": "Hello"}]
    plain_body: dict[str, object] = {"model": "standin:latest", "messages": asked}
    chat_body: dict[str, object] = {"model": "standin:latest", "message": "Hello"}
    direct = Way("directly", [standin_port], "/api/chat", plain_body, b'"done":false', b'"done":true')
    chat = Way("gateway /api/chat", gateway_ports, "/api/chat", chat_body, b"event: token", b"event: done", users)
    v1_body = {**plain_body, "stream": True}
    v1 = Way("gateway /v1", gateway_ports, "/v1/chat/completions", v1_body, b'"content":', b"[DONE]", users)
    length = given.tokens * MS / 1000
    differences = []
    for _ in range(given.rounds):
        plain = await steady(direct, given.streams, given.seconds, length)
        print(line(direct.name, plain))
        for way in (chat, v1):
            before, began = cpu(gateways), time.perf_counter()
            seen = await steady(way, given.streams, given.seconds, length)
            share = (cpu(gateways) - before) / (time.perf_counter() - began)
            difference = median(seen.first) - median(plain.first)
            if way is chat:
                differences.append(difference)
            print(line(way.name, seen), f"  +{difference:.1f} ms; {len(gateways)} replicas used {share:.0%} of a core")
    for way in (direct, chat):
        print(line(f"{way.name}, all at once", await burst(way, given.streams)))
    return median(differences)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--replicas", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        issuer = Issuer(Path(folder))
        postgres, redis = Postgres(), Redis()
        standin_port, *gateway_ports = ports = [free_port() for _ in range(given.replicas + 1)]
        pace = ("--ms", str(MS), "--tokens", str(given.tokens))
        standin = subprocess.Popen([sys.executable, str(HERE / "standin.py"), str(standin_port), *pace])
        settings = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(HERE.parent / "src"),
            "HOST": "127.0.0.1",
            "DATABASE_URL": postgres.create(),
            "REDIS_URL": redis.url,
            "JWKS_FILE": str(issuer.jwks_file),
            "REVOKED_FILE": str(issuer.revoked_file),
            "OLLAMA_URL": f"http://127.0.0.1:{standin_port}",
            "CHATS_PER_MINUTE": "60000",
            "MAX_STREAMS_PER_USER": "500",
        }
        with Path(folder, "log").open("wb") as log:
            gateways = [
                subprocess.Popen([sys.executable, "-m", "gateway"], env={**settings, "PORT": str(port)}, stdout=log)
                for port in gateway_ports
            ]
        try:
            print(f"{given.streams} streams, {MS} ms a token, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            difference = uvloop.run(measure(given, issuer, gateways, ports))
            print(f"first token of /api/chat against directly, median of the medians: +{difference:.1f} ms (under 30)")
        finally:
            for process in (*gateways, standin):
                process.kill()
                process.wait()
            redis.stop()
            postgres.remove()


if __name__ == "__main__":
    main()
