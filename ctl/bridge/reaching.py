"""Asking servers by HTTP, and the one place where the client library's errors become sentences."""

from __future__ import annotations

import errno
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ctl.bridge.near import is_loopback, is_near
from ctl.core.errors import InvalidFile, UsageError

LIKE = "like https://ai.example.com"
PATIENCE = aiohttp.ClientTimeout(total=30, sock_connect=10)


class Failed(Exception):
    """An attempt that failed; another may succeed. `retry_after`: seconds that the server asked for."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class Distrusted(Failed):
    """A certificate that is not to be trusted."""


class Answered(Failed):
    """The server answered with an error: its HTTP status, and the code of its problem if it had one."""

    def __init__(self, message: str, status: int, code: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. `now`: its own clock, in seconds since 1970, as far as it told."""

    data: Any
    now: float


def address(text: str, what: str, *, near: bool = False) -> str:
    """`https://host[:port]` of what a person wrote. Plain http is for this machine, with `near` for a private network.

    Raises UsageError.
    """
    full = text if "://" in text else f"https://{text}"
    # What has an @ may hold a password, and is not shown.
    wrong = UsageError(f"{what}: {text!r} is no address" if "@" not in text else f"{what} has a user", hint=LIKE)
    try:
        parts = urlsplit(full)
        _ = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in ("https", "http") or not parts.hostname or "@" in text:
        raise wrong
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise UsageError(f"{what}: {text!r} has a path", hint=f"{parts.scheme}://{parts.netloc}, without what follows")
    secure = parts.scheme == "https" or (is_near if near else is_loopback)(parts.hostname)
    if not secure:
        raise UsageError(
            f"{what}: {text} is not encrypted",
            hint=f"https://{parts.netloc}; plain http is for this machine{' or a private address' * near} only",
        )
    return f"{parts.scheme}://{parts.netloc}"


def tls(authority: Path | None) -> ssl.SSLContext:
    """Trust what the system trusts, and a private authority too. Raises InvalidFile."""
    context = ssl.create_default_context()
    if authority is not None:
        try:
            context.load_verify_locations(authority)
        except OSError as error:  # SSLError is one
            why = "holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
            raise InvalidFile(str(authority), why or str(error), hint="--ca names a PEM file") from error
    return context


async def ask(
    http: aiohttp.ClientSession, method: str, url: str, *, token: str = "", body: Mapping[str, Any] | None = None
) -> Answer:
    """The JSON that a server answers. Raises Failed."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with http.request(
            method, url, json=body, headers=headers, timeout=PATIENCE, allow_redirects=False
        ) as response:
            raw = await response.read()
            now = _clock(response.headers.get("Date"))
            data = _decoded(raw)
            if response.status >= 300:
                raise _answered(url, response, data)
            return Answer(data, now)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise failed(error, url) from error


def _answered(url: str, response: aiohttp.ClientResponse, data: Any) -> Answered:
    fault = data.get("error") if isinstance(data, dict) else None
    code, text = "", ""
    if isinstance(fault, dict):
        code, text = str(fault.get("code", "")), str(fault.get("message", ""))
    after = response.headers.get("Retry-After", "")
    said = f"{place(url)} answered {response.status}" + (f": {text[:200]}" if text else "")
    return Answered(said, response.status, code, retry_after=float(after) if after.isdecimal() else 0.0)


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _clock(date: str | None) -> float:
    try:
        told = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return time.time()
    # The header has no fractions: within two seconds the clocks may well agree.
    return told if abs(told - time.time()) > 2 else time.time()


def failed(error: Exception, url: str) -> Failed:
    """Any error of the client library as a sentence."""
    where = place(url)
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Failed(f"{where}: the name is not known to the DNS, or this machine is offline")
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            return Distrusted(f"{where}: its certificate is not trusted: {why.rstrip('.')}")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Failed(f"{where}: it does not speak TLS as it should")
        case aiohttp.WSServerHandshakeError():
            return Failed(f"{where}: it answered {error.status} instead of opening a WebSocket")
        case TimeoutError():  # of aiohttp too
            return Failed(f"{where} does not answer in time")
        case aiohttp.ClientConnectorError() | ConnectionError() if _errno(error) == errno.ECONNREFUSED:
            return Failed(f"{where}: nothing listens there (connection refused)")
        case aiohttp.ClientConnectorError():
            return Failed(f"{where} cannot be reached: {error.strerror or error}")
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return Failed(f"{where} cut the connection")
        case aiohttp.InvalidURL():
            return Failed(f"{where} is no address")
        case _:
            return Failed(f"{where}: {type(error).__name__}: {error}")


def _errno(error: Exception) -> int | None:
    found = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(found, OSError) and found.errno is not None:
        return found.errno
    # Several addresses were tried: asyncio says so in one text.
    return errno.ECONNREFUSED if "Connect call failed" in str(found) else None


def place(url: str) -> str:
    """The server's name as a person knows it."""
    return urlsplit(url).netloc or url
