"""Sessions and messages in Postgres. What returns is on its disk.

Each write is one statement that commits itself: a transaction of several takes as many turns to the database and back,
and was most of what the gateway added to the first token. What waits at the same time is written together.

Every piece of work can be done twice with the same result (ids are made here), so that it is simply done again when the
connection breaks, also when nobody knows whether the commit arrived.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from webservice.batch import Batch
from webservice.web import Problem

from .engine import Turn
from .migrate import migrate
from .records import Answer, Message, Question, Session
from .schema import messages, sessions
from .settings import Settings
from .statements import ANSWER, APPEND, BEGIN, COLUMNS, LATEST

log = logging.getLogger("gateway")
R = TypeVar("R")
LANES = 3
"""Writes of one kind under way at once: Postgres lets those that wait for the disk wait for it together."""


def as_session(row: Any) -> Session:
    return msgspec.convert(row._mapping, Session)


class Store:
    def __init__(self, settings: Settings) -> None:
        url = sa.make_url(settings.database_url).set(drivername="postgresql+psycopg")
        self._url = url
        self._patience = settings.db_wait_seconds
        self._history_bytes = settings.context_tokens * 4
        self._engine = create_async_engine(
            url,
            pool_size=settings.db_pool,
            max_overflow=0,
            pool_timeout=max(1, settings.db_wait_seconds),
            pool_recycle=1800,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,  # errors must not show what people wrote
            connect_args={
                "connect_timeout": 3,
                "prepare_threshold": 5,
                "options": "-c statement_timeout=10000 -c idle_in_transaction_session_timeout=30000",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
        )
        self.ready = False
        self._new: Batch[Question, None] = Batch(self._insert_new, lanes=LANES)
        self._answers: Batch[Answer, bool] = Batch(self._insert_answers, lanes=LANES)

    # --- life ----------------------------------------------------------------

    async def prepare(self) -> None:
        """Migrate, however long the database is away."""
        pause = 0.2
        while not self.ready:
            try:
                await asyncio.to_thread(migrate, self._url)
                self.ready = True
            except (DBAPIError, OSError) as error:
                log.warning("the database is not there yet", extra={"fields": {"type": type(error).__name__}})
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5)

    async def answers(self) -> bool:
        """Whether the database can be asked."""
        try:
            async with asyncio.timeout(2), self._engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1"))
        except (DBAPIError, PoolTimeout, OSError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._engine.dispose()

    async def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        """Do `work`, and do it again if the database goes away meanwhile. Raises Problem 503 when it stays away."""
        if not self.ready:
            raise Problem(503, "starting", "The service is starting.", retry_after=2)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        pause = 0.05
        while True:
            try:
                async with self._engine.connect() as connection:
                    return await work(connection)
            except (DBAPIError, PoolTimeout, OSError) as error:
                if not passing(error) or loop.time() > deadline:
                    if passing(error) or isinstance(error, OperationalError | PoolTimeout):
                        log.warning("the database does not answer", extra={"fields": {"type": type(error).__name__}})
                        raise Problem(
                            503, "storage_unavailable", "The database does not answer for now.", retry_after=5
                        ) from None
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    # --- a turn of the conversation ------------------------------------------

    async def ask(self, owner: str, session_id: UUID | None, text: str, title: str, model: str) -> Question:
        """Store a user's message, in a new session or at the end of one's own. Raises Problem 404."""
        now = datetime.now(UTC)
        if session_id is None:
            session = Session(uuid.uuid4(), title, model, now, now)
            question = Question(owner, session, uuid.uuid4(), [Turn("user", text)])
            await self._new.put(question)
            return question
        message_id = uuid.uuid4()
        place = {"session": session_id, "owner": owner, "model": model, "id": message_id, "content": text, "at": now}

        async def work(db: AsyncConnection) -> Question:
            row = (await db.execute(APPEND, place)).one_or_none()
            if row is None:
                raise no_session()
            return Question(owner, as_session(row), message_id, await self._history(db, session_id))

        return await self.run(work)

    async def again(self, owner: str, session_id: UUID, model: str) -> Question:
        """The last user's message once more; its answer, if there is one, is replaced. Raises Problem 404, 409."""

        async def work(db: AsyncConnection) -> Question:
            session = await owned(db, owner, session_id)
            turns_of = messages.c.session_id == session_id
            last = (
                sa.select(messages.c.id, messages.c.role).where(turns_of).order_by(messages.c.position.desc()).limit(2)
            )
            latest = list(await rows(db, last))
            replaces = latest.pop(0).id if latest and latest[0].role == "assistant" else None
            if not latest or latest[0].role != "user":
                raise Problem(409, "nothing_to_retry", "There is no message to answer again.")
            turns = await self._history(db, session_id)
            session.model = model or session.model
            return Question(owner, session, latest[0].id, turns[:-1] if replaces else turns, replaces)

        return await self.run(work)

    async def _history(self, db: AsyncConnection, session_id: UUID) -> list[Turn]:
        """The latest messages, the oldest first, and not many more than a model can read."""
        found = await rows(db, LATEST.bindparams(session=session_id, most=self._history_bytes))
        return [Turn(row.role, row.content) for row in found]

    async def answer(self, answer: Answer) -> bool:
        """Store an answer; False if its session has been deleted meanwhile."""
        return await self._answers.put(answer)

    async def _insert_new(self, questions: Sequence[Question]) -> Sequence[None]:
        new = {
            "id": [q.session.id for q in questions],
            "owner": [q.owner for q in questions],
            "title": [q.session.title for q in questions],
            "model": [q.session.model for q in questions],
            "at": [q.session.created_at for q in questions],
            "message": [q.message_id for q in questions],
            "content": [q.turns[0].content for q in questions],
        }
        await self.run(lambda db: db.execute(BEGIN, new))
        return [None] * len(questions)

    async def _insert_answers(self, answers: Sequence[Answer]) -> Sequence[bool]:
        given = {
            "id": [a.id for a in answers],
            "session": [a.question.session.id for a in answers],
            "content": [a.content for a in answers],
            "model": [a.question.session.model for a in answers],
            "finish": [a.finish for a in answers],
            "prompt": [a.usage.prompt_tokens for a in answers],
            "completion": [a.usage.completion_tokens for a in answers],
            "at": [a.at for a in answers],
            "replaces": [a.question.replaces for a in answers],
        }
        there = {row.id for row in await self.run(lambda db: rows(db, ANSWER.bindparams(**given)))}
        return [a.question.session.id in there for a in answers]

    # --- sessions ------------------------------------------------------------

    async def page(self, owner: str, query: str, limit: int, cursor: str) -> tuple[list[Session], str | None]:
        """One's sessions that hold `query` in the title or a message, the latest first; where the next page begins."""
        select = sa.select(*COLUMNS).where(sessions.c.owner == owner)
        if query:
            inside = sa.select(messages.c.id).where(
                messages.c.session_id == sessions.c.id, messages.c.content.icontains(query, autoescape=True)
            )
            select = select.where(sessions.c.title.icontains(query, autoescape=True) | inside.exists())
        if cursor:
            at, _, last = cursor.partition(".")
            place = sa.tuple_(sessions.c.updated_at, sessions.c.id)
            when = datetime.fromtimestamp(int(at) // 10**6, UTC).replace(microsecond=int(at) % 10**6)
            select = select.where(place < sa.tuple_(sa.literal(when), sa.literal(UUID(last))))
        select = select.order_by(sessions.c.updated_at.desc(), sessions.c.id.desc()).limit(limit + 1)
        found = await self.run(lambda db: rows(db, select))
        page = [as_session(row) for row in found[:limit]]
        if len(found) <= limit:
            return page, None
        moment = page[-1].updated_at
        return page, f"{int(moment.timestamp()) * 10**6 + moment.microsecond:016d}.{page[-1].id.hex}"

    async def conversation(self, owner: str, session_id: UUID) -> tuple[Session, list[Message]]:
        """Raises Problem 404."""
        select = (
            sa.select(
                messages.c.id, messages.c.role, messages.c.content, messages.c.model, messages.c.finish_reason,
                messages.c.created_at,
            )
            .where(messages.c.session_id == session_id)
            .order_by(messages.c.position)
        )  # fmt: skip

        async def work(db: AsyncConnection) -> tuple[Session, list[Message]]:
            session = await owned(db, owner, session_id)
            return session, [msgspec.convert(row._mapping, Message) for row in await rows(db, select)]

        return await self.run(work)

    async def rename(self, owner: str, session_id: UUID, title: str) -> Session:
        """Raises Problem 404."""
        mine = (sessions.c.id == session_id) & (sessions.c.owner == owner)
        found = await self.run(
            lambda db: rows(db, sa.update(sessions).where(mine).values(title=title).returning(*COLUMNS))
        )
        if not found:
            raise no_session()
        return as_session(found[0])

    async def delete(self, owner: str, session_id: UUID) -> None:
        """Raises Problem 404."""
        mine = (sessions.c.id == session_id) & (sessions.c.owner == owner)
        if not await self.run(lambda db: rows(db, sa.delete(sessions).where(mine).returning(sessions.c.id))):
            raise no_session()


def passing(error: Exception) -> bool:
    """Whether it is worth trying again: a broken or refused connection, a restart, a deadlock."""
    if isinstance(error, PoolTimeout):
        return False
    if not isinstance(error, DBAPIError):
        return True
    original = error.orig
    if isinstance(original, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
        return True
    if isinstance(original, psycopg.errors.QueryCanceled):
        return False
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def no_session() -> Problem:
    return Problem(404, "session_not_found", "There is no such session.")


async def rows(db: AsyncConnection, statement: sa.Executable) -> Sequence[Any]:
    return (await db.execute(statement)).all()


async def owned(db: AsyncConnection, owner: str, session_id: UUID) -> Session:
    mine = sa.select(*COLUMNS).where(sessions.c.id == session_id, sessions.c.owner == owner)
    row = (await db.execute(mine)).one_or_none()
    if row is None:
        raise no_session()
    return as_session(row)
