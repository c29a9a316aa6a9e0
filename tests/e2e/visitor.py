"""A browser's part at one door: it knows the password, keeps cookies, and sends JSON."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any

import lab_server
from lab_project import DOOR
from lab_server import Door, Server


class Reply(lab_server.Reply):
    """The answer to one request, which may be a page."""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        assert self.status < 300, self
        return self.data


class Visitor:
    """Asks over HTTPS, the certificate checked, as `https://NAME:8443`."""

    def __init__(self, server: Server, name: str, login: str, headers: Mapping[str, str]) -> None:
        self.server, self.name, self.origin = server, name, f"https://{name}:{DOOR}"
        self._password = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._headers = headers
        self._trust = ssl.create_default_context(cadata=server.authority())
        self.cookies: dict[str, str] = {}

    def ask(
        self,
        path: str,
        data: Any = None,
        *,
        method: str = "",
        password: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request; a POST where there is data. An upgraded connection is left at once."""
        connection = Door(self.server.lab.ip, self.name, self._trust, seconds=90)
        try:
            body = None if data is None else json.dumps(data).encode()
            connection.request(
                method or ("GET" if body is None else "POST"),
                path,
                body,
                {
                    **({"Authorization": self._password} if password else {}),
                    **({"Cookie": self.cookie} if self.cookies else {}),
                    **({"Content-Type": "application/json"} if body else {}),
                    **self._headers,
                    **(headers or {}),
                },
            )
            response = connection.getresponse()
            self._keep(response)
            read = b"" if response.status == 101 else response.read()
            return Reply(response.status, dict(response.getheaders()), read)
        finally:
            connection.close()

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _keep(self, response: http.client.HTTPResponse) -> None:
        for line in response.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.coded_value


def handshake(origin: str) -> dict[str, str]:
    """The headers with which a page of that origin opens a WebSocket."""
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Origin": origin,
    }
