"""One's own sessions: list, search, read, rename, delete."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from webservice.api import Call, Reply, path_id

from .records import Cursor, Message, Session
from .store import Store

Title = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class SessionsQuery(msgspec.Struct):
    query: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*$")] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 30
    cursor: Cursor = ""


class RenameBody(msgspec.Struct, forbid_unknown_fields=True):
    title: Title


class Sessions(msgspec.Struct):
    """A page of sessions, the latest first. `next` is the cursor of the next page."""

    sessions: list[Session]
    next: str | None


class Conversation(msgspec.Struct):
    """A session with its messages, the oldest first."""

    session: Session
    messages: list[Message]


class Renamed(msgspec.Struct):
    """The session as it is now."""

    session: Session


class History:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_sessions(self, call: Call, query: SessionsQuery) -> Reply:
        return Reply(Sessions(*await self._store.page(call.user.sub, query.query, query.limit, query.cursor)))

    async def get_session(self, call: Call) -> Reply:
        return Reply(Conversation(*await self._store.conversation(call.user.sub, path_id(call))))

    async def rename_session(self, call: Call, body: RenameBody) -> Reply:
        return Reply(Renamed(await self._store.rename(call.user.sub, path_id(call), body.title)))

    async def delete_session(self, call: Call) -> Reply:
        await self._store.delete(call.user.sub, path_id(call))
        return Reply(status=204)
