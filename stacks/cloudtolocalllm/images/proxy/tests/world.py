"""What a proxy lives among: keys and tokens as the API makes them, and the proxy itself as a process."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itsdangerous import URLSafeTimedSerializer

HERE = Path(__file__).parent
STREAMING_KEY = "a key that only the tests know, of 32 and more"
PORTAL = "https://portal.example.com"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def session_id() -> str:
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))


def key_of(session: str) -> str:
    return hmac.new(STREAMING_KEY.encode(), session.encode(), hashlib.sha256).hexdigest()


def token(session: str, role: str = "client", *, seconds: float = 300, **changed: Any) -> str:
    """As the API makes one; `changed` are members of the payload that are different."""
    payload = {"sid": session, "role": role, "until": int(time.time() + seconds), "id": secrets.token_hex(8)}
    signed: str | bytes = URLSafeTimedSerializer(key_of(session), salt="session").dumps({**payload, **changed})
    return signed if isinstance(signed, str) else signed.decode()


def auth(session: str, role: str, *, age: float = 0, with_token: str = "", **changed: Any) -> str:
    """The first message on a WebSocket."""
    message = {
        "type": "auth",
        "token": with_token or token(session, role, **changed),
        "sessionId": session,
        "timestamp": int((time.time() - age) * 1000),
    }
    return json.dumps(message)


@dataclass
class Proxy:
    """One proxy, as a process of its own, with a session of its own. Its log is read when it is needed."""

    session: str = field(default_factory=session_id)
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, log: Path) -> None:
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(HERE.parent / "src"),
            "PYTHONUNBUFFERED": "1",
            "SESSION_ID": self.session,
            "SESSION_KEY": key_of(self.session),
            "PORTAL_ORIGIN": PORTAL,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **self.settings,
        }
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proxy"], env=variables, stdout=out, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 20
        while not self.answers():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the proxy did not come"
            time.sleep(0.01)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit code, once it has one."""
        assert self.process is not None
        return self.process.wait(20)

    def resident(self) -> float:
        """MiB."""
        return memory(self.pid)["Rss"]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def memory(pid: int) -> dict[str, float]:
    """MiB of a process: all that is resident, its share of it, and what nobody else has."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) / 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return {"Rss": found["Rss"], "Pss": found["Pss"], "Private": found["Private_Clean"] + found["Private_Dirty"]}
