"""Postgres: asked again while it is away for a moment, migrated at the start.

What is done has to be such that doing it twice gives the same result: nobody knows whether the commit arrived when a
connection breaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from .migrate import migrate
from .web import Problem

log = logging.getLogger("webservice")
R = TypeVar("R")


class Database:
    """Every statement commits itself. `lock` is the number of the advisory lock under which `migrations` (a folder of
    Alembic's) run, `patience` the seconds for which work is tried again."""

    def __init__(self, address: str, *, migrations: Path, lock: int, pool: int, patience: int) -> None:
        url = sa.make_url(address).set(drivername="postgresql+psycopg")
        self._url = url
        self._migrations, self._lock = migrations, lock
        self._patience = patience
        self._engine = create_async_engine(
            url,
            pool_size=pool,
            max_overflow=0,
            pool_timeout=max(1, patience),
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

    async def prepare(self) -> None:
        """Migrate, however long the database is away."""
        pause = 0.2
        while not self.ready:
            try:
                await asyncio.to_thread(migrate, self._url, self._migrations, self._lock)
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

    @contextlib.asynccontextmanager
    async def alone(self, lock: int) -> AsyncIterator[AsyncConnection | None]:
        """A connection that holds the advisory lock, which one replica at a time has; None for the others. Raises
        DBAPIError and OSError, also from inside when the connection, and with it the lock, is lost."""
        async with self._engine.connect() as connection:
            try:
                got = await connection.scalar(sa.text("SELECT pg_try_advisory_lock(:lock)"), {"lock": lock})
                yield connection if got else None
            finally:
                await connection.invalidate()  # closed, not kept: a lock lives as long as its connection

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


async def rows(db: AsyncConnection, statement: sa.Executable, given: Mapping[str, Any] | None = None) -> Sequence[Any]:
    return (await db.execute(statement, given)).all()
