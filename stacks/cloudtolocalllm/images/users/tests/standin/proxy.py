"""A stand-in for a user's proxy: GET /health, and GET /session for who has a control token. Answers 404 to all else.

Its counters are made up, but for the times, which are its own. SIGTERM ends it with 0.
"""

import hashlib
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from itsdangerous import BadData, URLSafeTimedSerializer

SESSION, KEY = os.environ["SESSION_ID"], os.environ["SESSION_KEY"]
assert len(SESSION) == 26 and len(bytes.fromhex(KEY)) == hashlib.sha256().digest_size
assert os.environ["PORTAL_ORIGIN"].startswith("https://") and os.getuid() == 1001
STARTED = time.time()


def may_ask(header: str) -> bool:
    try:
        claims = URLSafeTimedSerializer(KEY, salt="session").loads(header.removeprefix("Bearer "))
    except BadData:
        return False
    fits = claims["sid"] == SESSION and claims["role"] == "control" and len(claims["id"]) == 16
    return fits and 0 < claims["until"] - time.time() <= 60


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, {"status": "healthy", "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        elif self.path != "/session":
            self.answer(404, {})
        elif not may_ask(self.headers.get("authorization", "")):
            self.answer(401, {})
        else:
            told = {"sessionId": SESSION, "started": STARTED, "lastActivity": STARTED, "clients": 2, "desktop": True}
            told |= {"streams": 1, "requests": 7, "errors": 1, "bytesIn": 100, "bytesOut": 2000}
            self.answer(200, told | {"latencyMs": {"p50": 0.5, "p95": 2.0}, "residentBytes": 12_000_000})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("", 3001), Handler).serve_forever()
