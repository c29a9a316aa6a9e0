"""What the gateway lives among, for tests and the bench: a real Postgres, a real Redis, keys to sign tokens."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class Missing(Exception):
    """A program that is not on this machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(debian[-1]) if debian else shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed: apt-get install postgresql redis-server")
    return found


def until(ready: Callable[[], bool], seconds: float = 60, what: str = "it") -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come in {seconds} s"
        time.sleep(0.02)


class Postgres:
    """A server of one's own in a temporary folder, which may be stopped, killed and started again."""

    def __init__(self) -> None:
        initdb, self._postgres = program("initdb"), program("postgres")
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:  # Postgres refuses to be root
            user = next((entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody")), None)
            assert user is not None
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        command = [initdb, "-D", str(self.folder / "data"), "-U", "gateway", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self._as)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql://gateway@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", "max_connections=100")
        command = [self._postgres, "-D", str(self.folder / "data"), "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command + [part for option in options for part in ("-c", option)],
                stdout=log, stderr=log, cwd=self.folder, **self._as,
            )  # fmt: skip
        until(self._answers, what="Postgres")

    def stop(self, sig: int = signal.SIGINT) -> None:
        assert self._process is not None
        self._process.send_signal(sig)
        self._process.wait(60)
        if sig == signal.SIGKILL:  # its children notice, each in its time
            time.sleep(0.5)

    def create(self) -> str:
        """A new database; its URL."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.sql("postgres", "SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


class Redis:
    def __init__(self) -> None:
        self._program = program("redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [
            self._program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            tempfile.gettempdir(),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self._listens, what="Redis")

    def signal(self, sig: int) -> None:
        assert self._process is not None
        self._process.send_signal(sig)
        if sig == signal.SIGKILL:
            self._process.wait(10)

    def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def number(value: int) -> str:
    return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


class Issuer:
    """Signs tokens as the auth service does, and writes its two files."""

    def __init__(self, folder: Path) -> None:
        self.jwks_file = folder / "jwks.json"
        self.revoked_file = folder / "revoked.json"
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.revoke()
        self.add("first")

    def jwks(self) -> dict[str, Any]:
        numbers = {kid: key.public_key().public_numbers() for kid, key in self.keys.items()}
        common = {"kty": "RSA", "use": "sig", "alg": "RS256"}
        return {"keys": [{"kid": kid, "n": number(n.n), "e": number(n.e), **common} for kid, n in numbers.items()]}

    def add(self, kid: str, bits: int = 4096) -> None:
        self.keys[kid] = rsa.generate_private_key(65537, bits)
        self.write(self.jwks_file, self.jwks())

    def remove(self, kid: str) -> None:
        del self.keys[kid]
        self.write(self.jwks_file, self.jwks())

    def revoke(self, users: tuple[str, ...] = (), logins: tuple[str, ...] = ()) -> None:
        now = int(time.time())
        lists = {"users": dict.fromkeys(users, now), "logins": dict.fromkeys(logins, now + 600)}
        self.write(self.revoked_file, lists)

    def claims(self, sub: str = "ada", **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": "auth", "aud": "gateway", "sub": sub, "sid": f"{sub}-login", "email": f"{sub}@example.com",
            "name": sub, "role": "user", "iat": now, "nbf": now, "exp": now + 600, "jti": uuid.uuid4().hex,
        }  # fmt: skip
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, sub: str = "ada", *, kid: str = "first", **changes: Any) -> str:
        return jwt.encode(self.claims(sub, **changes), self.keys[kid], "RS256", {"kid": kid})

    @staticmethod
    def write(path: Path, content: object) -> None:
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(content))
        beside.replace(path)
