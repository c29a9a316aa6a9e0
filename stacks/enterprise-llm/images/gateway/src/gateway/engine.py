"""Model servers: Ollama's own API, or one that is compatible with OpenAI's.

aiohttp and not httpx: at 200 streams of 50 tokens a second the latter costs several times the processor time a token.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import msgspec

from webservice.web import Problem

from .settings import Settings

CONNECT_SECONDS = 3
LIST_SECONDS = 10
"""How long a list of models is good; while the server is down the last one is shown for longer."""
STALE_SECONDS = 300


class Turn(msgspec.Struct):
    """One part of the conversation as models read it."""

    role: str
    content: str


@dataclass
class Piece:
    """A part of an answer; the last one says how it ended and what it cost, as far as the server tells."""

    text: str = ""
    finish: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class ModelError(Exception):
    """The model server failed after it had begun to answer."""


def unavailable(retry_after: int = 5) -> Problem:
    return Problem(503, "model_unavailable", "The model does not answer for now. Try again.", retry_after=retry_after)


async def accepted(answer: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    """The answer, if it is a good one. Raises Problem 503, or 404 and 422 where the request is to blame."""
    if answer.status == 200:
        return answer
    raw = await answer.content.read(64 * 1024)
    answer.close()
    if answer.status in (408, 425, 429) or answer.status >= 500 or answer.status in (401, 403):
        wait = answer.headers.get("retry-after", "")
        raise unavailable(min(int(wait), 600) if wait.isdecimal() else 5)
    if answer.status == 404:
        raise Problem(404, "model_not_found", "There is no such model.")
    raise Problem(422, "refused_by_model", said(raw) or f"The model server refused it ({answer.status}).")


def said(raw: bytes) -> str:
    """What an error of a model server says, in either of the two shapes."""
    try:
        error = msgspec.json.decode(raw, type=dict[str, Any]).get("error")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return str(error.get("message", "") if isinstance(error, dict) else error or "")[:500]


class Dialect(Protocol):
    """How one kind of server is spoken to."""

    list_path: str
    chat_path: str

    def request(self, model: str, turns: Sequence[Turn]) -> dict[str, object]: ...
    def names(self, raw: bytes) -> list[str]: ...
    def piece(self, line: bytes) -> Piece | None: ...


class OllamaMessage(msgspec.Struct):
    content: str = ""


class OllamaLine(msgspec.Struct):
    message: OllamaMessage | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: str | None = None


class Ollama:
    list_path, chat_path = "/api/tags", "/api/chat"

    def __init__(self, settings: Settings) -> None:
        # one size of context for all requests, since another one makes Ollama load the model anew
        self._options = {"num_ctx": settings.context_tokens, "num_predict": settings.answer_tokens}
        self._line = msgspec.json.Decoder(OllamaLine)

    def request(self, model: str, turns: Sequence[Turn]) -> dict[str, object]:
        return {"model": model, "messages": turns, "stream": True, "options": self._options}

    def names(self, raw: bytes) -> list[str]:
        return [model["name"] for model in msgspec.json.decode(raw, type=dict[str, list[dict[str, Any]]])["models"]]

    def piece(self, line: bytes) -> Piece | None:
        if not line:
            return None
        said = self._line.decode(line)
        if said.error is not None:
            raise ModelError
        text = said.message.content if said.message else ""
        if not said.done:
            return Piece(text)
        finish = "length" if said.done_reason == "length" else "stop"
        return Piece(text, finish, said.prompt_eval_count, said.eval_count)


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class Counted(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(msgspec.Struct):
    choices: list[Choice] = []
    usage: Counted | None = None
    error: Any = None


class OpenAI:
    list_path, chat_path = "/v1/models", "/v1/chat/completions"

    def __init__(self, settings: Settings) -> None:
        self._most = settings.answer_tokens
        self._chunk = msgspec.json.Decoder(Chunk)

    def request(self, model: str, turns: Sequence[Turn]) -> dict[str, object]:
        more = {"max_tokens": self._most, "stream_options": {"include_usage": True}}
        return {"model": model, "messages": turns, "stream": True, **more}

    def names(self, raw: bytes) -> list[str]:
        return [model["id"] for model in msgspec.json.decode(raw, type=dict[str, Any])["data"]]

    def piece(self, line: bytes) -> Piece | None:
        if not line.startswith(b"data:") or line.endswith(b"[DONE]"):
            return None
        chunk = self._chunk.decode(line[5:])
        if chunk.error is not None:
            raise ModelError
        piece = Piece()
        if chunk.choices:
            piece.text = chunk.choices[0].delta.content or ""
            reason = chunk.choices[0].finish_reason
            piece.finish = None if reason is None else "length" if reason == "length" else "stop"
        if chunk.usage is not None:
            piece.prompt_tokens, piece.completion_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        return piece


class Engine:
    """The model server. A chat that is left before its end has its connection closed, which stops the inference."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._http = http
        self._url = (settings.ollama_url or settings.openai_url).removesuffix("/v1")
        self._dialect: Dialect = Ollama(settings) if settings.ollama_url else OpenAI(settings)
        self._headers = {"authorization": f"Bearer {settings.openai_key}"} if settings.openai_key else {}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=settings.model_idle_seconds
        )
        self._names: tuple[float, list[str]] = (-1e9, [])

    async def models(self) -> list[str]:
        """Their names, those of MODELS only where that is set. Raises Problem 503."""
        at, names = self._names
        age = time.monotonic() - at
        if age > LIST_SECONDS:
            try:
                timeout = aiohttp.ClientTimeout(total=CONNECT_SECONDS)
                url = self._url + self._dialect.list_path
                async with self._http.get(url, headers=self._headers, timeout=timeout) as answer:
                    raw = await (await accepted(answer)).read()
                names = self._dialect.names(raw)
                if self._settings.models:
                    names = [name for name in self._settings.models if name in names]
                self._names = time.monotonic(), names
            except (aiohttp.ClientError, TimeoutError, OSError, Problem, msgspec.MsgspecError, KeyError):
                if age > STALE_SECONDS:
                    raise unavailable() from None
        return names

    def default(self, names: Sequence[str]) -> str | None:
        wanted = self._settings.model_default
        return wanted if wanted in names else next(iter(names), None)

    def allowed(self, model: str) -> bool:
        return not self._settings.models or model in self._settings.models

    async def open_chat(self, model: str, turns: Sequence[Turn]) -> aiohttp.ClientResponse:
        """Returns when the server begins to answer. Raises Problem 404, 422, 503."""
        return await self._post(self._dialect.chat_path, msgspec.json.encode(self._dialect.request(model, turns)))

    async def pieces(self, answer: aiohttp.ClientResponse) -> AsyncIterator[list[Piece]]:
        """What comes together, together. Raises ModelError, after what came before the error."""
        left = b""
        try:
            async for raw in answer.content.iter_any():
                *lines, left = (left + raw).split(b"\n")
                for pieces in self._read(lines):
                    yield pieces
            for pieces in self._read([left]):
                yield pieces
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ModelError from error

    def _read(self, lines: Sequence[bytes]) -> Iterator[list[Piece]]:
        """What the lines say, if they say anything; then ModelError, if that is what they end with."""
        pieces: list[Piece] = []
        piece_of = self._dialect.piece
        try:
            for line in lines:
                if (piece := piece_of(line.strip())) is not None:
                    pieces.append(piece)
        except (ModelError, msgspec.MsgspecError) as fault:
            if pieces:
                yield pieces
            raise ModelError from fault
        if pieces:
            yield pieces

    @asynccontextmanager
    async def completion(self, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request in OpenAI's shape, which both kinds of server know, passed on as it is. Raises like open_chat."""
        answer = await self._post("/v1/chat/completions", body)
        try:
            yield answer
        finally:
            answer.close()  # the connection, unless the answer was read to its end

    async def _post(self, path: str, body: bytes) -> aiohttp.ClientResponse:
        headers = {**self._headers, "content-type": "application/json"}
        for attempt in (1, 2):
            try:
                return await accepted(
                    await self._http.post(self._url + path, data=body, headers=headers, timeout=self._timeout)
                )
            except aiohttp.ServerDisconnectedError:
                # a kept connection that the server had closed meanwhile: once more, on a new one
                if attempt == 2:
                    raise unavailable() from None
            except (aiohttp.ClientError, TimeoutError, OSError):
                raise unavailable() from None
        raise AssertionError
