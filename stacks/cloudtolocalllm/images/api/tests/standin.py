"""A stand-in for the user-manager: it has sessions and no containers, and refuses what it does not know."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from base64 import b32encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "the-key-of-the-manager-for-tests-only"
Answer = tuple[int, dict[str, Any]]


class Manager:
    """`live` and `ended` are what it would answer, by session id. `busy` makes each start take so many seconds."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.live: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.refuses: Answer | None = None
        self.busy = 0.0
        self.lists = 0
        self.puts = 0
        self._one = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.up()

    def up(self) -> None:
        manager = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if manager.refuses is not None:
                    status, value = manager.refuses
                elif self.headers.get("authorization") != f"Bearer {KEY}":
                    status, value = 401, {}
                else:
                    status, value = manager.asked(self.command, self.path, body)
                text = json.dumps(value).encode()
                self.send_response(status)
                if status == 503:
                    self.send_header("retry-after", "7")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = do_DELETE = do_POST = answer

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def asked(self, method: str, path: str, body: bytes) -> Answer:
        if (method, path) == ("PUT", "/sessions"):
            self.puts += 1
            wanted = json.loads(body)
            if set(wanted) != {"name"} or not re.fullmatch(r"[a-z0-9-]{1,40}", wanted["name"]):
                return 422, {}
            with self._one:
                return self.begin(wanted["name"])
        if (method, path) == ("GET", "/sessions"):
            self.lists += 1
            return 200, {"sessions": list(self.live.values()), "ended": list(self.ended.values())}
        if method == "DELETE" and path.startswith("/sessions/"):
            session = path.removeprefix("/sessions/")
            return (200, self.end(session, "asked")) if session in self.live else (404, {})
        return 404, {}

    def begin(self, name: str) -> Answer:
        found = next((one for one in self.live.values() if one["name"] == name), None)
        if found is None:
            time.sleep(self.busy)
            session = b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
            found = {"sessionId": session, "name": name, "created": int(time.time())}
            self.live[session] = {**found, "healthy": True, "counters": None}
        return 200, {key: found[key] for key in ("sessionId", "name", "created")}

    def end(self, session: str, reason: str) -> dict[str, Any]:
        gone = self.live.pop(session)
        gone.pop("healthy")
        self.ended[session] = {**gone, "ended": time.time(), "reason": reason}
        return self.ended[session]

    def count(self, session: str, bytes_in: int, bytes_out: int, *, desktop: bool = True) -> None:
        """What the session's proxy said last."""
        now = time.time()
        self.live[session]["counters"] = {
            "sessionId": session, "started": now, "lastActivity": now, "clients": 1, "desktop": desktop, "streams": 0,
            "requests": 1, "errors": 0, "bytesIn": bytes_in, "bytesOut": bytes_out,
            "latencyMs": {"p50": 0.2, "p95": 0.9}, "residentBytes": 20_000_000,
        }  # fmt: skip
