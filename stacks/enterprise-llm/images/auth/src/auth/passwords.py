"""Argon2id, in a few threads, with a limit on how many may wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from webservice.web import Problem

HASHER = PasswordHasher()
"""RFC 9106's second choice: 64 MiB, three passes."""
WAITING = 64

R = TypeVar("R")


class Passwords:
    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(min(4, os.cpu_count() or 1))
        self._waiting = 0
        self._nobody = HASHER.hash(os.urandom(16).hex())

    async def hash(self, password: str) -> str:
        return await self._run(lambda: HASHER.hash(password))

    async def fits(self, digest: str | None, password: str) -> bool:
        """Takes as long for nobody's hash, so that time does not tell who has an account."""

        def verify() -> bool:
            try:
                return HASHER.verify(digest or self._nobody, password) and digest is not None
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(verify)

    @staticmethod
    def outdated(digest: str) -> bool:
        return HASHER.check_needs_rehash(digest)

    async def _run(self, work: Callable[[], R]) -> R:
        if self._waiting >= WAITING:
            raise Problem(503, "busy", "Too many logins at once.", retry_after=2)
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
