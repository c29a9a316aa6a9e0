"""Sessions and messages in Postgres. What returns is on its disk.

Each write is one statement that commits itself: a transaction of several takes as many turns to the database and back,
and was most of what the gateway added to the first token. What waits at the same time is written together.

Every piece of work can be done twice with the same result (ids are made here), so that it is simply done again when the
connection breaks, also when nobody knows whether the commit arrived.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from webservice.batch import Batch
from webservice.database import Database, rows
from webservice.web import Problem

from .engine import Turn
from .records import Answer, Message, Question, Session
from .schema import messages, sessions
from .settings import Settings
from .statements import ANSWER, APPEND, BEGIN, COLUMNS, LATEST

LOCK = 0x6761746577617931
"""Of the advisory lock for migrations: "gateway1"."""
ASKED_LINGER, ANSWERED_LINGER = 0.01, 0.04
"""Seconds. The model is asked meanwhile, and an answer has been read when it is stored: nobody waits for these, and
writing together costs the processor less."""


def as_session(row: Any) -> Session:
    return msgspec.convert(row._mapping, Session)


class NewMessage(NamedTuple):
    owner: str
    session: Session
    id: UUID
    content: str


class Store(Database):
    def __init__(self, settings: Settings) -> None:
        super().__init__(
            settings.database_url,
            migrations=Path(__file__).parent / "migrations",
            lock=LOCK,
            pool=settings.db_pool,
            patience=settings.db_wait_seconds,
        )
        self._history_bytes = settings.context_tokens * 4
        self._new: Batch[NewMessage, None] = Batch(self._insert_new, linger=ASKED_LINGER)
        self._answers: Batch[Answer, bool] = Batch(self._insert_answers, linger=ANSWERED_LINGER)

    # --- a turn of the conversation ------------------------------------------

    async def ask(self, owner: str, session_id: UUID | None, text: str, title: str, model: str) -> Question:
        """A user's message, in a new session or at the end of one's own; it is being stored when this returns, so that
        the model can be asked meanwhile. Raises Problem 404; so does `stored`."""
        now = datetime.now(UTC)
        if session_id is None:
            session = Session(uuid.uuid4(), title, model, now, now)
            turns: list[Turn] = []
        else:
            session, turns = await self.run(lambda db: self._conversation(db, owner, session_id))
            session.model, session.updated_at = model or session.model, now
        message = NewMessage(owner, session, uuid.uuid4(), text)
        stored = asyncio.ensure_future(self._append(message) if session_id else self._new.put(message))
        return Question(owner, session, message.id, [*turns, Turn("user", text)], stored)

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
            stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            stored.set_result(None)
            return Question(owner, session, latest[0].id, turns[:-1] if replaces else turns, stored, replaces)

        return await self.run(work)

    async def _conversation(self, db: AsyncConnection, owner: str, session_id: UUID) -> tuple[Session, list[Turn]]:
        return await owned(db, owner, session_id), await self._history(db, session_id)

    async def _history(self, db: AsyncConnection, session_id: UUID) -> list[Turn]:
        """The latest messages, the oldest first, and not many more than a model can read."""
        found = await rows(db, LATEST, {"session": session_id, "most": self._history_bytes})
        return [Turn(row.role, row.content) for row in found]

    async def answer(self, answer: Answer) -> bool:
        """Store an answer; False if its session has been deleted meanwhile."""
        return await self._answers.put(answer)

    async def _insert_new(self, given: Sequence[NewMessage]) -> Sequence[None]:
        new = {
            "id": [m.session.id for m in given],
            "owner": [m.owner for m in given],
            "title": [m.session.title for m in given],
            "model": [m.session.model for m in given],
            "at": [m.session.created_at for m in given],
            "message": [m.id for m in given],
            "content": [m.content for m in given],
        }
        await self.run(lambda db: db.execute(BEGIN, new))
        return [None] * len(given)

    async def _append(self, message: NewMessage) -> None:
        session = message.session
        new = {
            "session": session.id,
            "owner": message.owner,
            "model": session.model,
            "at": session.updated_at,
            "id": message.id,
            "content": message.content,
        }
        if not await self.run(lambda db: rows(db, APPEND, new)):
            raise no_session()

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
        there = {row.id for row in await self.run(lambda db: rows(db, ANSWER, given))}
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


def no_session() -> Problem:
    return Problem(404, "session_not_found", "There is no such session.")


async def owned(db: AsyncConnection, owner: str, session_id: UUID) -> Session:
    mine = sa.select(*COLUMNS).where(sessions.c.id == session_id, sessions.c.owner == owner)
    row = (await db.execute(mine)).one_or_none()
    if row is None:
        raise no_session()
    return as_session(row)
