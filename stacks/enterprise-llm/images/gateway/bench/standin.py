"""A stand-in for a model server, not a model: it speaks Ollama's and OpenAI's chat APIs, always in the same words.

    python standin.py PORT [--ms 20] [--tokens 100]

What the name of a model begins with says how it behaves: `standin` answers, `broken` breaks off in the middle,
`failing` says an error in the middle, `loading` takes `loading_seconds` to begin, `silent` never ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, cast

WORDS = ("This", " is", " the", " stand-in", ",", " no", " model", ".")
MODELS = ("standin:latest", "broken:latest", "failing:latest", "loading:latest", "silent:latest")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Standin:
    """One server: what it was asked, how many answers are under way, how many clients left early."""

    def __init__(self, *, ms: float = 20, tokens: int = 8) -> None:
        self.ms = ms
        self.tokens = tokens
        self.loading_seconds = 3.0
        self.asked: list[dict[str, Any]] = []
        self.any_model = False
        self.running = 0
        self.left = 0
        self.server: asyncio.Server | None = None
        self.connections: set[asyncio.Transport] = set()

    async def start(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=2048)

    def stop(self) -> None:
        """Like a process that ends: nothing listens, all connections are closed."""
        if self.server is not None:
            self.server.close()
        for transport in list(self.connections):
            transport.close()


class Connection(asyncio.Protocol):
    def __init__(self, standin: Standin) -> None:
        self._standin = standin
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none of asyncio's
        self._standin.connections.add(self._transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._standin.connections.discard(self._transport)
        if self._timer is not None:
            self._timer.cancel()
            self._standin.running -= 1
            self._standin.left += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = LENGTH.search(head)
        if len(body) < (size := int(length[1]) if length else 0):
            return
        self._buffer = body[size:]
        method, path, _ = head.split(b" ", 2)
        self._answer(f"{method.decode()} {path.decode()}", body[:size])

    def _answer(self, what: str, body: bytes) -> None:
        names: dict[str, Callable[[], bytes]] = {
            "GET /": lambda: b"Ollama is running",
            "GET /api/version": lambda: b'{"version":"0.33.2"}',
            "GET /api/tags": lambda: json.dumps(
                {"models": [{"name": name, "model": name} for name in MODELS]}
            ).encode(),
            "GET /v1/models": lambda: json.dumps(
                {"data": [{"id": name, "object": "model"} for name in MODELS]}
            ).encode(),
        }
        if what in names:
            return self._whole(200, names[what]())
        if what == "POST /api/pull":
            self._head(b"application/x-ndjson")
            self._chunk(b'{"status":"pulling manifest"}\n{"status":"success"}\n')
            return self._chunk(b"")
        if what not in ("POST /api/chat", "POST /v1/chat/completions"):
            return self._whole(404, b'{"error":"the stand-in knows nothing here"}')
        asked = json.loads(body)
        self._standin.asked.append(asked)
        model = asked["model"] if ":" in asked["model"] else f"{asked['model']}:latest"
        if model not in MODELS and not self._standin.any_model:
            return self._whole(404, json.dumps({"error": f"model '{model}' not found"}).encode())
        return Talk(self, self._standin, asked, model, openai=what.startswith("POST /v1")).begin()

    def _whole(self, status: int, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )

    def _head(self, kind: bytes) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % kind)

    def _chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, work)

    def _end(self) -> None:
        self._timer = None
        self._standin.running -= 1


class Talk:
    """One answer: a word every so many milliseconds, whatever the last one cost."""

    def __init__(
        self, connection: Connection, standin: Standin, asked: dict[str, Any], model: str, *, openai: bool
    ) -> None:
        self._c = connection
        self._standin = standin
        self._model = model
        self._openai = openai
        self._stream = asked.get("stream", not openai)
        self._pace = standin.ms / 1000
        options = asked.get("options") or {}
        most = options.get("num_predict") or asked.get("max_tokens") or asked.get("max_completion_tokens")
        self._tokens = min(standin.tokens, most) if isinstance(most, int) and most > 0 else standin.tokens
        self._cut = self._tokens < standin.tokens
        self._said = 0

    def begin(self) -> None:
        self._standin.running += 1
        wait = self._standin.loading_seconds if self._model.startswith("loading") else 0
        self._next = asyncio.get_running_loop().time() + wait + self._pace
        if self._stream:
            self._c._later(wait + self._pace, self._first)
        else:
            self._c._later(wait + self._pace * self._tokens, self._at_once)

    def _first(self) -> None:
        self._c._head(b"text/event-stream" if self._openai else b"application/x-ndjson")
        self._word()

    def _word(self) -> None:
        if self._said == self._tokens and not self._model.startswith("silent"):
            return self._last()
        if self._said == 3 and self._model.startswith("broken"):
            return self._c._transport.close()
        if self._said == 3 and self._model.startswith("failing"):
            self._c._chunk(
                b'data: {"error":{"message":"out of memory"}}\n\n' if self._openai else b'{"error":"out of memory"}\n'
            )
            self._c._chunk(b"")
            return self._c._end()
        word = WORDS[self._said % len(WORDS)]
        self._said += 1
        if self._openai:
            self._event(f'{{"index":0,"delta":{{"role":"assistant","content":"{word}"}},"finish_reason":null}}')
        else:
            self._line(f'"message":{{"role":"assistant","content":"{word}"}},"done":false')
        self._next += self._pace
        return self._c._later(max(0, self._next - asyncio.get_running_loop().time()), self._word)

    def _last(self) -> None:
        reason = "length" if self._cut else "stop"
        if self._openai:
            usage = f'{{"prompt_tokens":5,"completion_tokens":{self._tokens},"total_tokens":{5 + self._tokens}}}'
            self._event(f'{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}', f',"usage":{usage}')
            self._c._chunk(b"data: [DONE]\n\n")
        else:
            counts = f'"prompt_eval_count":5,"eval_count":{self._tokens}'
            self._line(f'"message":{{"role":"assistant","content":""}},"done":true,"done_reason":"{reason}",{counts}')
        self._c._chunk(b"")
        self._c._end()

    def _event(self, choice: str, more: str = "") -> None:
        head = f'"id":"s","object":"chat.completion.chunk","created":1,"model":"{self._model}"'
        self._c._chunk(f'data: {{{head},"choices":[{choice}]{more}}}\n\n'.encode())

    def _line(self, rest: str) -> None:
        self._c._chunk(f'{{"model":"{self._model}","created_at":"2026-01-01T00:00:00Z",{rest}}}\n'.encode())

    def _at_once(self) -> None:
        self._c._end()
        text = "".join(WORDS[n % len(WORDS)] for n in range(self._tokens))
        usage = {"prompt_tokens": 5, "completion_tokens": self._tokens, "total_tokens": 5 + self._tokens}
        message = {"role": "assistant", "content": text}
        if self._openai:
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer: dict[str, Any] = {
                "id": "s",
                "object": "chat.completion",
                "created": 1,
                "model": self._model,
                "choices": [choice],
                "usage": usage,
            }
        else:
            answer = {"model": self._model, "message": message, "done": True, "done_reason": "stop"}
        self._c._whole(200, json.dumps(answer).encode())


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ms", type=float, default=20)
    parser.add_argument("--tokens", type=int, default=100)
    given = parser.parse_args()
    standin = Standin(ms=given.ms, tokens=given.tokens)
    await standin.start(given.port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
