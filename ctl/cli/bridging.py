"""The bridge from a command line: who logs in, what is shown, how it ends."""

from __future__ import annotations

import asyncio
import getpass
import json as json_module
import logging
import os
import shutil
import signal
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ctl.bridge.cloud import Api
from ctl.bridge.local import Local, local_http
from ctl.bridge.login import CommandLogin, GivenToken, Login, PasswordLogin
from ctl.bridge.near import is_loopback
from ctl.bridge.reaching import address
from ctl.bridge.running import Bridge, Settings
from ctl.bridge.wording import STYLES, Notice, Status, rows
from ctl.cli.terminal import err, stdin_is_terminal
from ctl.core.errors import Interrupted, MissingTool, MissingValue, UsageError
from ctl.core.secret import Secret

REDRAWN = 4
"""How often a second the view is drawn."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is."""

    settings: Settings
    api: str
    local: str
    tls: ssl.SSLContext
    key: str = field(default="", repr=False)


Credentials = Callable[[aiohttp.ClientSession, str], Login]


def api_of(portal: str) -> str:
    """The API's address, of the portal's: `api.` before its name. Raises UsageError."""
    scheme, _, rest = portal.partition("://")
    if is_loopback(rest.rpartition(":")[0] or rest) or rest.startswith("["):
        raise UsageError(f"{portal} is this machine, whose API has no name of its own", hint="--api URL")
    return address(f"{scheme}://api.{rest}", "--api")


def door(text: str) -> tuple[str, int]:
    """Raises UsageError for what is not `HOST:PORT` of this machine."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--listen: {text!r} is no address", hint="like 127.0.0.1:11435")
    if not is_loopback(host):
        raise UsageError(
            f"--listen: {host} is not an address of this machine alone",
            hint="anybody could ask the model there; 127.0.0.1",
        )
    return host, int(port)


def found_ngrok() -> str:
    """Raises MissingTool."""
    program = shutil.which("ngrok")
    if program is None:
        raise MissingTool(
            "ngrok is not installed on this machine", hint="https://ngrok.com/download, or without --ngrok"
        )
    return program


def for_ngrok(supplied: Mapping[str, str]) -> dict[str, str]:
    """Its environment: this program's, without what is nobody else's business, and the account's token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CTL_")}
    token = supplied.get("NGROK_AUTHTOKEN")
    return {**kept, "NGROK_AUTHTOKEN": token} if token else kept


def credentials(email: str, command: str, supplied: Mapping[str, str]) -> Credentials:
    """How to log in; what is missing is asked for at the terminal. Raises MissingValue."""
    if command:
        return lambda _http, _to: CommandLogin(command)
    if token := supplied.get("CTL_BRIDGE_TOKEN"):
        return lambda _http, _to: GivenToken(Secret("CTL_BRIDGE_TOKEN", token))
    name = "CTL_BRIDGE_PASSWORD"
    email = email or supplied.get("CTL_BRIDGE_EMAIL", "")
    password = supplied.get(name, "")
    if not (email and password) and not stdin_is_terminal():
        raise MissingValue(
            "who logs in?", hint=f"--email, and {name} in the environment or in .env; or --token-command"
        )
    try:
        if not email:
            err.line("E-mail: ", end="")
            email = input().strip()
        password = password or getpass.getpass("Password: ", sys.stderr)
    except EOFError as end:
        raise Interrupted("not answered") from end
    if not email or not password:
        raise MissingValue("a login has an e-mail and a password", hint="nothing was sent")
    return lambda http, to: PasswordLogin(http, to, email, Secret(name, password))


def run(place: Place, login: Credentials, *, json: bool) -> None:
    """Until Ctrl-C or SIGTERM. Raises AuthFailed, TakenOver, Unreachable, UsageError, and Interrupted."""
    # What goes wrong is told by the bridge; the libraries would write it into the middle of the view.
    for name in ("aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        asyncio.run(_run(place, login, json=json))
    except asyncio.CancelledError as stop:
        raise Interrupted("ended") from stop


async def _run(place: Place, login: Credentials, *, json: bool) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # this is one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    connector = aiohttp.TCPConnector(ssl=place.tls)
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http,
        local_http(place.tls) as near,
    ):
        who = login(http, place.settings.to)
        local = Local(near, place.local, place.key)
        show = Lines(json=json)
        bridge = Bridge(place.settings, http, Api(http, place.api, who), who, local, show.take)
        with view(bridge.status, show, json=json):
            try:
                await bridge.run()
            finally:
                await who.end()


class Lines:
    """A line for every change: JSON on stdout, or a sentence on stderr, and that not twice."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._said: dict[str, str] = {}
        self.quiet = False

    def take(self, notice: Notice) -> None:
        if self._json:
            entry = {"event": notice.kind, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **notice.data}
            sys.stdout.write(json_module.dumps(entry, ensure_ascii=False) + "\n")
            sys.stdout.flush()
            return
        if notice.kind == "connected":
            self._said.pop("waiting", None)
        if not self.quiet and self._said.get(notice.kind) != notice.text:
            err.line((f"{datetime.now().astimezone():%H:%M:%S}  ", "dim"), notice.text)
        self._said[notice.kind] = notice.text


def view(status: Status, lines: Lines, *, json: bool) -> AbstractContextManager[object]:
    """The live view, where there is a terminal for it."""
    if json or not err.console.is_interactive:
        return nullcontext()
    lines.quiet = True
    return Live(get_renderable=lambda: drawn(status, time.monotonic()), console=err.console, refresh_per_second=REDRAWN)


def drawn(status: Status, now: float) -> Table:
    """Two columns, which fit a narrow terminal too: what does not fit goes on in the next line."""
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows(status, now):
        style = STYLES[status.way] if label == "in use" else "yellow" if label == "last error" else ""
        table.add_row(label, Text(text, style))
    return table
