"""The proxies, asked as people reach them: through nginx, at a listener that only the stack's network may use."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import b32encode
from collections.abc import Callable

import aiohttp
import msgspec
from itsdangerous import URLSafeTimedSerializer

SECONDS = 5
"""That a proxy gets to answer."""
TOKEN_SECONDS = 60


class Latency(msgspec.Struct):
    """Milliseconds that the proxy adds to a chunk."""

    p50: float | None = None
    p95: float | None = None


class Counters(msgspec.Struct, rename="camel"):
    """What a proxy says of itself. Times are seconds since 1970."""

    session_id: str
    started: float
    last_activity: float
    clients: int
    desktop: bool
    streams: int
    requests: int
    errors: int
    bytes_in: int
    bytes_out: int
    latency_ms: Latency
    resident_bytes: int


class Unreachable(Exception):
    """`nginx` says that it is not the proxy's fault: nobody opened."""

    def __init__(self, reason: str, *, nginx: bool = False) -> None:
        super().__init__(reason)
        self.nginx = nginx


def new_id() -> str:
    """26 letters and digits, random in 128 bits."""
    return b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()


def session_key(streaming_key: str, session: str) -> str:
    """What a proxy checks tokens with, of this session only."""
    return hmac.new(streaming_key.encode(), session.encode(), hashlib.sha256).hexdigest()


class Proxies:
    """Raises Unreachable. `now` gives seconds since 1970."""

    def __init__(self, url: str, streaming_key: str, now: Callable[[], float] = time.time) -> None:
        self._url = url
        self._key = streaming_key
        self._now = now
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=32, keepalive_timeout=15, ttl_dns_cache=10),
            timeout=aiohttp.ClientTimeout(total=SECONDS),
        )

    async def close(self) -> None:
        await self._http.close()

    async def counters(self, name: str, session: str) -> Counters:
        until = int(self._now()) + TOKEN_SECONDS
        claims = {"sid": session, "role": "control", "until": until, "id": secrets.token_hex(8)}
        key = session_key(self._key, session)
        token = URLSafeTimedSerializer(key, salt="session").dumps(claims)
        raw = await self._get(f"{name}/session", {"authorization": f"Bearer {token}"})
        try:
            counters = msgspec.json.decode(raw, type=Counters)
        except msgspec.MsgspecError as error:
            raise Unreachable(f"answers with something else: {error}") from None
        if counters.session_id != session:
            raise Unreachable("is the proxy of another session")
        return counters

    async def _get(self, path: str, headers: dict[str, str]) -> bytes:
        try:
            async with self._http.get(f"{self._url}/{path}", headers=headers, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise Unreachable(f"answers with {answer.status}")
                return await answer.content.read(2**16)
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(type(error).__name__, nginx=True) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(type(error).__name__) from None
