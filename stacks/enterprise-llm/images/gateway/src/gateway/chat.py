"""One question and its answer: asked of the model, passed on word by word, stored."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated
from uuid import UUID

import aiohttp
import msgspec
from msgspec import Meta

from webservice.api import Call, Reply, path_id
from webservice.web import Problem

from .context import fit, title_of, tokens_of
from .engine import Engine, ModelError, Piece, Turn, unavailable
from .metrics import Metrics
from .records import Answer, Finish, Question, Session, Usage
from .settings import Settings
from .store import Store
from .streams import Out, Streams, encode, event

ModelName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class ChatBody(msgspec.Struct, forbid_unknown_fields=True):
    message: Annotated[str, Meta(min_length=1, max_length=200_000, pattern=r"^[^\x00]*$")]
    session_id: UUID | None = None
    model: ModelName | None = None
    stream: bool = True


class RetryBody(msgspec.Struct, forbid_unknown_fields=True):
    model: ModelName | None = None
    stream: bool = True


class AnswerMessage(msgspec.Struct):
    """An answer, as far as it came."""

    id: UUID
    content: str
    finish_reason: Finish
    usage: Usage


class ChatAnswer(msgspec.Struct):
    """The answer; `session` is as it is now. As a stream: the events session, token…, then done or error."""

    session: Session
    message: AnswerMessage


class Asked(msgspec.Struct):
    """The first event: the user's message is stored."""

    session: Session
    user_message: dict[str, UUID]


class Chat:
    """What questions and answers need, and the two operations."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, streams: Streams, metrics: Metrics) -> None:
        self.settings = settings
        self.store = store
        self.engine = engine
        self.streams = streams
        self.metrics = metrics
        self.budget = settings.context_tokens - settings.answer_tokens

    async def chat(self, call: Call, body: ChatBody) -> Reply | None:
        owner = call.user.sub
        self.streams.admit(owner)
        model = self._wanted(body.model)
        if fit([Turn("user", body.message)], self.settings.system_prompt, self.budget) is None:
            raise Problem(413, "message_too_long", "The message is longer than the model can read.")
        if not model and body.session_id is None:
            model = await self.default()
        question = await self.store.ask(owner, body.session_id, body.message, title_of(body.message), model)
        return await self._answer(call, question, body.stream)

    async def retry(self, call: Call, body: RetryBody | None) -> Reply | None:
        owner = call.user.sub
        self.streams.admit(owner)
        body = body or RetryBody()
        question = await self.store.again(owner, path_id(call), self._wanted(body.model))
        return await self._answer(call, question, body.stream)

    def _wanted(self, model: str | None) -> str:
        if model is not None and not self.engine.allowed(model):
            raise Problem(404, "model_not_found", "There is no such model.")
        return model or ""

    async def default(self) -> str:
        """The name of the model for a new session; empty while nobody knows one: the message is stored all the same."""
        try:
            return self.engine.default(await self.engine.models()) or self.settings.model_default
        except Problem:
            return self.settings.model_default

    async def _answer(self, call: Call, question: Question, stream: bool) -> Reply | None:
        out = Out(call.send, call.scope.get("extra_headers", {}))
        talk = Talk(self, question, out, stream)
        try:
            await self.streams.run(call.receive, out, question.owner, talk.run)
        except Problem as problem:
            if talk.stored:
                problem.extra.update(msgspec.to_builtins(talk.asked))
            raise
        return None if stream else Reply(talk.result())


class Talk:
    """The work of one answer."""

    def __init__(self, chat: Chat, question: Question, out: Out, stream: bool) -> None:
        self._store, self._engine, self._metrics = chat.store, chat.engine, chat.metrics
        self._default = chat.default
        self._first_byte = chat.settings.first_byte_seconds
        self._turns = fit(question.turns, chat.settings.system_prompt, chat.budget) or question.turns[-1:]
        self._question = question
        self._out = out
        self._stream = stream
        self._began = time.monotonic()
        self._texts: list[str] = []
        self._end = Piece()
        self._answer: Answer | None = None
        self.asked = Asked(question.session, {"id": question.message_id})
        self.stored = False

    async def run(self) -> None:
        """Ask, pass on, store, say so. Raises Problem if the stream has not begun yet."""
        finish, failure = await self._ask_model()
        self._metrics.answers.labels(finish).inc()
        try:
            await self._is_stored()
            if failure is None or self._texts:
                await self._keep(finish)
        except Problem as problem:
            failure = problem
        if failure is None and self._out.stopped == "draining":
            failure = Problem(503, "draining", "The service is being restarted. Try again.", retry_after=1)
        if failure is None:
            if self._stream:
                await self._begin()
                await self._out.write(event("done", self._done()))
        elif self._out.started:
            wait = failure.headers.get("retry-after")
            fault = {"code": failure.code, "message": failure.message, **({"retry_after": int(wait)} if wait else {})}
            await self._out.write(event("error", fault))
        else:
            raise failure

    def result(self) -> ChatAnswer:
        return self._done()

    async def _ask_model(self) -> tuple[Finish, Problem | None]:
        """How the answer ended, and what to say if that was no good end."""
        question, out = self._question, self._out
        model = question.session.model = question.session.model or await self._default()
        if not model:
            return "error", unavailable()
        opening = asyncio.ensure_future(self._engine.open_chat(model, self._turns))
        out.asking = True
        try:
            if out.stopped:
                return "stopped", None
            # an error that comes at once is an HTTP status; a model that is being loaded is waited for with beats
            if self._stream and not (await asyncio.wait({opening}, timeout=self._first_byte))[0]:
                await self._begin()
            answer = await asyncio.shield(opening)
            await self._is_stored()
            await self._pass_on(answer)
            if self._end.finish is None:
                raise ModelError
            return ("length" if self._end.finish == "length" else "stop"), None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if out.stopped is None or task is None:
                raise
            task.uncancel()
            return ("length" if out.stopped == "time" else "stopped"), None
        except Problem as problem:
            return "error", problem
        except ModelError:
            return "error", unavailable()
        finally:
            out.asking = False
            opening.add_done_callback(let_go)
            opening.cancel()

    async def _pass_on(self, answer: aiohttp.ClientResponse) -> None:
        texts, stream, write = self._texts, self._stream, self._out.write
        async for pieces in self._engine.pieces(answer):
            events = b""
            for piece in pieces:
                if piece.text:
                    if not texts:
                        self._metrics.first_token.observe(time.monotonic() - self._began)
                    texts.append(piece.text)
                    events += b'event: token\ndata: {"text":' + encode(piece.text) + b"}\n\n"
                if piece.finish is not None:
                    self._end.finish = piece.finish
                if piece.completion_tokens is not None:
                    self._end.prompt_tokens, self._end.completion_tokens = piece.prompt_tokens, piece.completion_tokens
            if stream and events:
                if not self._out.started:
                    await self._begin()
                await write(events)

    async def _is_stored(self) -> None:
        """Wait for the user's message, which is being stored while the model is asked. Raises Problem."""
        if not self.stored:
            await asyncio.shield(self._question.stored)
            self.stored = True

    async def _begin(self) -> None:
        if not self._out.started:
            await self._is_stored()
            await self._out.begin()
            await self._out.write(event("session", self.asked))

    async def _keep(self, finish: Finish) -> None:
        """Store the answer, or as much of it as there is. Raises Problem."""
        content = "".join(self._texts).replace("\x00", "")
        prompt, completion = self._end.prompt_tokens, self._end.completion_tokens
        usage = Usage(
            sum(tokens_of(turn.content) for turn in self._turns) if prompt is None else sane(prompt),
            len(self._texts) if completion is None else sane(completion),
        )
        model = self._question.session.model
        self._metrics.tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self._metrics.tokens.labels(model, "completion").inc(usage.completion_tokens)
        self._answer = Answer(self._question, content, finish, usage)
        if content or finish in ("stop", "length"):
            if not await self._store.answer(self._answer):
                raise Problem(404, "session_not_found", "The session has been deleted meanwhile.")
            self._question.session.updated_at = self._answer.at

    def _done(self) -> ChatAnswer:
        answer = self._answer
        if answer is None:  # stopped before there was anything
            answer = Answer(self._question, "", "stopped", Usage(0, 0))
        return ChatAnswer(self._question.session, AnswerMessage(answer.id, answer.content, answer.finish, answer.usage))


def sane(count: int) -> int:
    """A count that a model server says, as far as the database can hold it."""
    return min(max(count, 0), 2**31 - 1)


def let_go(opening: asyncio.Future[aiohttp.ClientResponse]) -> None:
    """Close the connection to the model; where the answer was read to its end, it was given back already."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
