"""What is done for a request about sessions, one method an operation."""

from __future__ import annotations

import logging
import time
from typing import Any, cast

from webservice.api import Call, Reply
from webservice.limits import Memory
from webservice.tokens import Claims, Verifier, refused
from webservice.web import Problem

from . import session_tokens
from . import shapes as s
from .following import Following
from .metrics import Metrics
from .session_tokens import Role
from .settings import Settings
from .store import Store, moment, no_session
from .user_manager import Gone, UserManager

log = logging.getLogger("streaming")


class Sessions:
    def __init__(
        self, settings: Settings, verifier: Verifier, store: Store, manager: UserManager, following: Following,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._verifier = verifier
        self._store = store
        self._manager = manager
        self._following = following
        self._metrics = metrics
        self._limits = Memory()

    # --- who asks ------------------------------------------------------------

    async def user(self, call: Call) -> None:
        await self._counted(call, "request", self._settings.requests_per_minute)

    async def creator(self, call: Call) -> None:
        await self._counted(call, "create", self._settings.creates_per_minute)

    async def admin(self, call: Call) -> None:
        await self.user(call)
        if self._settings.admin_role not in who(call).roles:
            raise Problem(403, "forbidden", "Only admins may do this.")

    async def _counted(self, call: Call, kind: str, limit: int) -> None:
        claims = await self._verifier.caller(call)
        count = self._limits.count(f"{kind}:{claims.sub}", limit)
        count.check()
        call.scope["extra_headers"] = count.headers

    # --- one's own -----------------------------------------------------------

    async def create_session(self, call: Call, body: s.CreateBody | None) -> Reply:
        began = time.perf_counter()
        claims = who(call)
        user = await self._store.user(claims.sub, claims.email)
        begun = await self._manager.begin(user.name)
        # Should this fail, the session is noted when the manager is next asked for its list.
        new, replaced = await self._store.begin(user, begun)
        self._following.ended(replaced)
        if new:
            self._metrics.created.inc()
            self._metrics.create_seconds.observe(time.perf_counter() - began)
            log.info("session begun", extra={"fields": {"session": begun.session_id, "name": user.name}})
        token = self._token(claims, begun.session_id, "client")
        endpoint = self._endpoint(user.name)
        return Reply(s.Created(endpoint, begun.session_id, user.name, token.token, token.expires_at))

    async def make_token(self, call: Call, body: s.TokenBody) -> Reply:
        session = await self._own(call)
        if session.ended_at is not None:
            raise no_session()
        return Reply(self._token(who(call), session.id, body.role))

    async def set_tunnel(self, call: Call, body: s.TunnelBody) -> Reply:
        await self._store.set_tunnel(who(call).sub, session_id(call), body.url and body.url.rstrip())
        return Reply(status=204)

    async def list_sessions(self, call: Call, query: s.SessionsQuery) -> Reply:
        found, after = await self._store.page(who(call).sub, query.live, query.limit, query.cursor)
        return Reply(s.Sessions([s.Session(**self._fields(row)) for row in found], after))

    async def end_session(self, call: Call) -> Reply:
        """Once it has ended, there is nothing more to do, and that is no error."""
        session = await self._own(call)
        if session.ended_at is None:
            try:
                over = await self._manager.end(session.id)
            except Gone:
                self._following.ended(await self._store.gone(session.id))
            else:
                self._following.changed(await self._store.note(over))
        return Reply(status=204)

    # --- of everybody --------------------------------------------------------

    async def list_all_sessions(self, call: Call, query: s.SessionsQuery) -> Reply:
        found, after = await self._store.page(None, query.live, query.limit, query.cursor)
        return Reply(s.UserSessions([s.UserSession(**self._fields(row), user=row.subject) for row in found], after))

    # --- parts ---------------------------------------------------------------

    async def _own(self, call: Call) -> Any:
        """Raises Problem 404."""
        return await self._store.own(who(call).sub, session_id(call))

    def _token(self, claims: Claims, session: str, role: Role) -> s.SessionToken:
        """Raises Problem 401 in the last moment of a login, which is let in a little longer than it lasts."""
        until = session_tokens.ends(claims.exp)
        if until <= time.time():
            raise refused()
        return s.SessionToken(session_tokens.sign(self._settings.streaming_key, session, role, until), moment(until))

    def _endpoint(self, name: str) -> str:
        return f"https://{name}.{self._settings.users_domain}"

    def _fields(self, row: Any) -> dict[str, Any]:
        live = row.ended_at is None
        return {
            "session_id": row.id,
            "name": row.name,
            "endpoint": self._endpoint(row.name),
            "live": live,
            "desktop": row.desktop,
            "bytes_in": row.bytes_in,
            "bytes_out": row.bytes_out,
            "tunnel": row.tunnel if live else None,
            "started": row.started_at,
            "last_activity": row.active_at,
            "ended": row.ended_at,
            "reason": row.reason,
            "seconds": max(0, int(((row.ended_at or row.now) - row.started_at).total_seconds())),
        }


def who(call: Call) -> Claims:
    return cast("Claims", call.user)


def session_id(call: Call) -> str:
    """Raises Problem 404 for what can be none."""
    session = str(call.params["sessionId"])
    if not s.SESSION_ID.fullmatch(session):
        raise no_session()
    return session
