"""A JSON file that several processes read and change: written whole and atomically, one writer at a time."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import msgspec

from webservice.batch import Batch
from webservice.web import Problem

D = TypeVar("D")
R = TypeVar("R")
Edit = Callable[[D], Any]


class Document(Generic[D]):
    """A file of the type `kind`; a missing one is as `kind()`.

    `read()` costs a stat if nothing changed. `change(edit)` runs `edit` on a copy of its own, under the lock, and
    returns when the file is on the disk (`durable`) or at least in place. Edits that wait are written together. An edit
    that refuses raises Problem before it has changed anything.
    """

    def __init__(self, path: Path, kind: type[D], *, durable: bool = True) -> None:
        self.path = path
        self._kind = kind
        self._durable = durable
        self._seen: tuple[int, int, int] | None = None
        self._value: D = kind()
        self._batch: Batch[Edit[D], Any] = Batch(self._flush)

    def read(self) -> D:
        """What the file holds now; not to be changed. Raises Problem 503 if it is damaged."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return self._kind()
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            self._value, self._seen = self._decode(self.path.read_bytes()), seen
        return self._value

    async def change(self, edit: Callable[[D], R]) -> R:
        return cast("R", await self._batch.put(edit))

    async def _flush(self, edits: Sequence[Edit[D]]) -> Sequence[Any]:
        return await asyncio.to_thread(self._commit, edits)

    def _commit(self, edits: Sequence[Edit[D]]) -> Sequence[Any]:
        results: list[Any] = []
        with locked(self.path):
            before = self.path.read_bytes() if self.path.exists() else b""
            value = self._decode(before) if before else self._kind()
            for edit in edits:
                try:
                    results.append(edit(value))
                except Problem as problem:
                    results.append(problem)
            after = msgspec.json.format(msgspec.json.encode(value), indent=1)
            if after != before:
                try:
                    replace(self.path, after, 0o600, durable=self._durable)
                except OSError as error:
                    raise full(error) from error
        return results

    def _decode(self, raw: bytes) -> D:
        try:
            return msgspec.json.decode(raw, type=self._kind)
        except msgspec.MsgspecError as error:
            raise Problem(503, "storage_damaged", f"{self.path.name} cannot be read.", retry_after=30) from error


def full(error: OSError) -> Problem:
    why = "There is no space left." if error.errno in (errno.ENOSPC, errno.EDQUOT) else "It cannot be written."
    return Problem(503, "storage_unavailable", f"Nothing was stored. {why}", retry_after=30)


@contextmanager
def locked(path: Path) -> Any:
    """Hold the lock beside the file, against other threads and other processes."""
    handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace(path: Path, content: bytes, mode: int, *, durable: bool = True) -> None:
    """Put a file in place, whole or not at all. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(handle, mode)
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
