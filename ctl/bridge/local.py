"""The model server on this desktop: the only place that requests are carried to."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from ctl.bridge.frames import Headers
from ctl.bridge.reaching import Failed, failed

CONNECT_SECONDS = 5.0
OURS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers that the client library would add of its own accord."""

# A model may think for long before its first word: only connecting has a limit.
_PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)


class Local:
    """`key` is for a server that wants one of its own; it is shown to nobody else."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str = "") -> None:
        self._http = http
        self.url = url
        self._key = key

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer as it begins. Left early, it ends the request at the server. Raises Failed.

        Method, path and headers have been checked: passage.allowed, passage.carried.
        """
        try:
            response = await self._http.request(
                method,
                URL(self.url + path, encoded=True),
                data=body,
                headers=self._with_key(headers),
                skip_auto_headers=OURS,
                allow_redirects=False,
                timeout=_PATIENCE,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise failed(error, self.url) from error
        try:
            yield response
        finally:
            response.close()

    async def body(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The answer's body, each piece as soon as it is there. Raises Failed."""
        try:
            async for piece in response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise failed(error, self.url) from error

    async def answers(self) -> str:
        """Empty if there is a server, else why there is none. One that is busy counts as there."""
        patience = aiohttp.ClientTimeout(total=CONNECT_SECONDS + 1, sock_connect=CONNECT_SECONDS)
        try:
            async with self._http.get(
                f"{self.url}/api/version", headers=self._with_key(()), timeout=patience, allow_redirects=False
            ):
                return ""
        except aiohttp.ConnectionTimeoutError as error:
            return failed(error, self.url).message
        except TimeoutError:
            return ""
        except (aiohttp.ClientError, OSError) as error:
            return failed(error, self.url).message

    def _with_key(self, headers: Headers) -> dict[str, str]:
        return {**dict(headers), "authorization": f"Bearer {self._key}"} if self._key else dict(headers)


def local_http(context: ssl.SSLContext) -> aiohttp.ClientSession:
    """What Local asks with: bodies as they are, no cookies, a connection of its own for each request.

    A connection that is kept may be closed by the server in the moment in which it is used again.
    """
    connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=context)
    return aiohttp.ClientSession(connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())


def away(error: Failed) -> dict[str, object]:
    """The problem for whoever asked, with status 502."""
    return problem("local_away", f"The model server on the desktop does not answer: {error.message}.")


def problem(code: str, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message}}
