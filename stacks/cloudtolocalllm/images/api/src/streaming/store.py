"""Users, and the record of their sessions, in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from webservice.database import Database, rows
from webservice.web import Problem

from .names import names
from .schema import sessions, users
from .settings import Settings
from .statements import BEGIN, FOLLOW, GONE, LOST, PRUNE
from .user_manager import Begun, Seen

LOCK = 0x73747265616D3031
"""Of the advisory lock for migrations: "stream01"."""


@dataclass(frozen=True)
class User:
    id: int
    name: str


@dataclass(frozen=True)
class Over:
    """A session that has ended just now, after `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class Change:
    """What is different since the last look."""

    new: int
    bytes_in: int
    bytes_out: int
    over: Sequence[Over]


class Store(Database):
    def __init__(self, settings: Settings) -> None:
        super().__init__(
            settings.database_url,
            migrations=Path(__file__).parent / "migrations",
            lock=LOCK,
            pool=settings.db_pool,
            patience=settings.db_wait_seconds,
        )
        self._issuer = settings.trust.issuer
        self._kept = timedelta(days=settings.audit_days)

    # --- of one user ---------------------------------------------------------

    async def user(self, subject: str, email: str) -> User:
        """The user, who gets a name at the first time, and keeps it whatever becomes of the e-mail address."""

        async def work(db: AsyncConnection) -> User:
            identity = (users.c.issuer == self._issuer) & (users.c.subject == subject)
            select = sa.select(users.c.id, users.c.name).where(identity)
            for name in names(self._issuer, subject, email):
                row = (await db.execute(select)).one_or_none()
                if row is not None:
                    return User(row.id, row.name)
                new = {"issuer": self._issuer, "subject": subject, "name": name}
                await db.execute(insert(users).values(new).on_conflict_do_nothing())
            row = (await db.execute(select)).one()
            return User(row.id, row.name)

        return await self.run(work)

    async def begin(self, user: User, begun: Begun) -> tuple[bool, Sequence[Over]]:
        """Note the user's session. Whether it is new, and which ones it follows that nobody had seen ending."""
        given = {"user": user.id, "id": begun.session_id, "started": moment(begun.created)}
        found = await self.run(lambda db: rows(db, BEGIN, given))
        return any(row.new for row in found), [over(row) for row in found if row.reason]

    async def own(self, subject: str, session: str) -> Any:
        """The row of one's session. Raises Problem 404."""
        select = self._select().where(*self._mine(subject), sessions.c.id == session)
        found = await self.run(lambda db: rows(db, select))
        if not found:
            raise no_session()
        return found[0]

    async def set_tunnel(self, subject: str, session: str, url: str | None) -> None:
        """Raises Problem 404 unless it is one's own and live."""
        mine = sa.select(users.c.id).where(*self._mine(subject)).scalar_subquery()
        where = (sessions.c.id == session) & (sessions.c.user_id == mine) & sessions.c.ended_at.is_(None)
        update = sa.update(sessions).where(where).values(tunnel=url).returning(sessions.c.id)
        if not await self.run(lambda db: rows(db, update)):
            raise no_session()

    async def note(self, seen: Seen) -> Change:
        """Note one session as the manager tells of it now."""

        async def work(db: AsyncConnection) -> Change:
            return await self.follow(db, [seen], await clock(db))

        return await self.run(work)

    async def gone(self, session: str) -> Sequence[Over]:
        """Note that the manager does not know it any more."""
        return [over(row) for row in await self.run(lambda db: rows(db, GONE, {"id": session}))]

    # --- lists ---------------------------------------------------------------

    async def page(self, subject: str | None, live: bool, limit: int, cursor: str) -> tuple[Sequence[Any], str | None]:
        """One's sessions, or everybody's, the latest first; where the next page begins."""
        select = self._select()
        if subject is not None:
            select = select.where(*self._mine(subject))
        if live:
            select = select.where(sessions.c.ended_at.is_(None))
        if cursor:
            at, _, last = cursor.partition(".")
            when = datetime.fromtimestamp(int(at) // 10**6, UTC).replace(microsecond=int(at) % 10**6)
            place = sa.tuple_(sessions.c.started_at, sessions.c.id)
            select = select.where(place < sa.tuple_(sa.literal(when), sa.literal(last)))
        select = select.order_by(sessions.c.started_at.desc(), sessions.c.id.desc()).limit(limit + 1)
        found = await self.run(lambda db: rows(db, select))
        if len(found) <= limit:
            return found, None
        last_one = found[limit - 1]
        at_last: datetime = last_one.started_at
        return found[:limit], f"{int(at_last.timestamp()) * 10**6 + at_last.microsecond:016d}.{last_one.id}"

    def _select(self) -> sa.Select[Any]:
        columns = [column for column in sessions.c if column.name not in ("user_id", "counted_in", "counted_out")]
        now = sa.func.now().label("now")
        return sa.select(*columns, users.c.name, users.c.subject, now).join(users, users.c.id == sessions.c.user_id)

    def _mine(self, subject: str) -> tuple[sa.ColumnElement[bool], ...]:
        return users.c.issuer == self._issuer, users.c.subject == subject

    # --- following the manager -----------------------------------------------

    async def follow(self, db: AsyncConnection, seen: Sequence[Seen], asked: datetime) -> Change:
        """Bring the record up to what the manager answered; it was asked at `asked`, by the database's clock."""
        if not seen:
            return Change(0, 0, 0, [])
        counters = [one.counters for one in seen]
        given = {
            "id": [one.session_id for one in seen],
            "name": [one.name for one in seen],
            "started": [moment(one.created) for one in seen],
            "active": [counted and moment(counted.last_activity) for counted in counters],
            "desktop": [bool(counted and counted.desktop) for counted in counters],
            "counted_in": [counted and counted.bytes_in for counted in counters],
            "counted_out": [counted and counted.bytes_out for counted in counters],
            "ended": [one.ended and moment(one.ended) for one in seen],
            "reason": [one.reason for one in seen],
            "asked": asked,
            "oldest": asked - self._kept,
        }
        found = await rows(db, FOLLOW, given)
        return Change(
            sum(row.new for row in found),
            sum(row.more_in for row in found),
            sum(row.more_out for row in found),
            [over(row) for row in found if row.over],
        )

    async def lost(self, db: AsyncConnection, there: Sequence[str], before: datetime) -> Sequence[Over]:
        """End what is not `there` and was last seen `before`."""
        return [over(row) for row in await rows(db, LOST, {"there": list(there), "before": before})]

    async def prune(self, db: AsyncConnection, now: datetime) -> int:
        """Forget what has been over for long enough. How many sessions that were."""
        return len(await rows(db, PRUNE, {"oldest": now - self._kept}))


async def clock(db: AsyncConnection) -> datetime:
    """The database's."""
    now: datetime = (await db.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return now


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def over(row: Any) -> Over:
    return Over(row.reason or "lost", max(0.0, float(row.seconds)))


def no_session() -> Problem:
    return Problem(404, "session_not_found", "There is no such session.")
