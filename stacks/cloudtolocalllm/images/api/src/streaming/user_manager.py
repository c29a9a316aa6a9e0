"""The user-manager, which has the containers: asked over HTTP, inside the stack."""

from __future__ import annotations

import logging
from typing import TypeVar

import aiohttp
import msgspec

from webservice.web import Problem, request_id

from .metrics import Metrics
from .settings import Settings

log = logging.getLogger("streaming")
R = TypeVar("R")
RETRY_SECONDS = 5
LIST_SECONDS = 8
MOST = 32 * 2**20


class Counters(msgspec.Struct, rename="camel"):
    """What a proxy counted since its process began. `last_activity` in seconds since 1970."""

    last_activity: float
    desktop: bool
    bytes_in: int
    bytes_out: int


class Begun(msgspec.Struct, rename="camel"):
    """`created` in seconds since 1970."""

    session_id: str
    name: str
    created: float


class Seen(Begun, kw_only=True):
    """A session that there is, or, with `ended` and `reason`, was."""

    counters: Counters | None = None
    ended: float | None = None
    reason: str | None = None


class Listing(msgspec.Struct):
    sessions: list[Seen]
    ended: list[Seen] = []


class Gone(Exception):
    """The manager knows no such session."""


class UserManager:
    """Raises Problem 503 while the manager cannot be asked, 502 if it refuses what no later attempt would change."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession, metrics: Metrics) -> None:
        self._url = settings.manager_url
        self._headers = {"authorization": f"Bearer {settings.manager_key}"}
        self._seconds = settings.manager_seconds
        self._http = http
        self._metrics = metrics

    async def begin(self, name: str) -> Begun:
        """The user's session: the one that there is, or a new one, once its proxy answers."""
        return await self._ask("begin", "PUT", "", Begun, self._seconds, {"name": name})

    async def end(self, session: str) -> Seen:
        """Raises Gone too."""
        return await self._ask("end", "DELETE", f"/{session}", Seen, self._seconds)

    async def sessions(self) -> Listing:
        return await self._ask("list", "GET", "", Listing, LIST_SECONDS)

    async def _ask(
        self, what: str, method: str, path: str, kind: type[R], seconds: int, body: object | None = None
    ) -> R:
        headers = {**self._headers, "x-request-id": request_id.get()}
        try:
            async with self._http.request(
                method, f"{self._url}/sessions{path}", json=body, headers=headers, allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds, connect=3),
            ) as answer:  # fmt: skip
                raw = await answer.content.read(MOST)
                if answer.status == 200:
                    return msgspec.json.decode(raw, type=kind)
                if answer.status == 404 and method == "DELETE":
                    raise Gone
                again, status = answer.headers.get("retry-after", ""), answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            self._metrics.manager_errors.labels(what, type(error).__name__).inc()
            log.warning("the user-manager", extra={"fields": {"call": what, "type": type(error).__name__}})
            raise unavailable(RETRY_SECONDS) from None
        self._metrics.manager_errors.labels(what, str(status)).inc()
        log.warning("the user-manager", extra={"fields": {"call": what, "status": status}})
        if status in (429, 500, 502, 503, 504):
            raise unavailable(int(again) if again.isdecimal() else RETRY_SECONDS)
        raise Problem(502, "manager_refused", "The sessions' manager refused. The log holds this request's id.")


def unavailable(retry_after: int) -> Problem:
    return Problem(
        503, "manager_unavailable", "Sessions cannot be started or ended for now. Try again.", retry_after=retry_after
    )
