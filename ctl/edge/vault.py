"""The vault: secrets by host and name, in one encrypted file beside the inventory.

`vault.enc` is a line that names the format, then a Fernet token (AES-128-CBC with HMAC-SHA256) around JSON. Its key
comes from `CTL_VAULT_KEY`, else from `vault.key` in the user's configuration folder, made on first use with mode 0600.
Who writes holds a lock on the folder, so that two commands at once lose nothing of each other's.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ctl.core.errors import InvalidFile, UsageError
from ctl.edge.project import write_atomically

_HEAD = b"ctl-vault 1\n"
_LOST = "; where it is lost for good, move the vault away and fill a new one: ctl secrets pull HOST"

Hosts = dict[str, dict[str, str]]


def key_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "ctl" / "vault.key"


class Vault:
    """Every method raises InvalidFile for a vault that does not open, UsageError for a key that cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "vault.enc"

    def read(self, host: str) -> dict[str, str]:
        """All secrets of one host."""
        return dict(self._load().get(host, {}))

    def hosts(self) -> tuple[str, ...]:
        return tuple(sorted(self._load()))

    def keep(self, host: str, values: Mapping[str, str], *, forget: Collection[str] = ()) -> None:
        """Add or replace secrets of one host, and drop those to forget."""
        self._change(host, lambda now: {name: value for name, value in {**now, **values}.items() if name not in forget})

    def add(self, host: str, values: Mapping[str, str]) -> dict[str, str]:
        """Add secrets of one host; one that is there already stays as it is. Returns them all as they are now."""
        return self._change(host, lambda now: {**values, **now})

    def _change(self, host: str, change: Callable[[dict[str, str]], dict[str, str]]) -> dict[str, str]:
        with _alone(self.path.parent):
            data = self._load()
            now = data[host] = change(data.get(host, {}))
            from cryptography.fernet import Fernet  # noqa: PLC0415  not needed by most commands

            token = Fernet(self._key(make=True)).encrypt(json.dumps(data, sort_keys=True).encode())
            write_atomically(self.path, _HEAD + token + b"\n", mode=0o600)
            return dict(now)

    def _load(self) -> Hosts:
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InvalidFile(str(self.path), error.strerror or str(error)) from error
        if not raw.startswith(_HEAD):
            newer = raw.startswith(b"ctl-vault ")
            raise InvalidFile(str(self.path), "was written by a newer ctl" if newer else "is not a vault of ctl's")
        from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415

        try:
            return msgspec.json.decode(Fernet(self._key(make=False)).decrypt(raw[len(_HEAD) :].strip()), type=Hosts)
        except InvalidToken as error:
            raise InvalidFile(
                str(self.path),
                "does not open with this key, or was changed",
                hint=f"the key is CTL_VAULT_KEY, else {key_path()}{_LOST}",
            ) from error
        except msgspec.MsgspecError as error:
            raise InvalidFile(str(self.path), "opens, and holds something else than secrets by host") from error

    def _key(self, *, make: bool) -> bytes:
        from cryptography.fernet import Fernet  # noqa: PLC0415

        given = os.environ.get("CTL_VAULT_KEY")
        key = given.encode() if given else self._key_from_file(make=make)
        try:
            Fernet(key)
        except ValueError as error:
            where = "CTL_VAULT_KEY" if given else str(key_path())
            raise UsageError(f"{where} is not a key: 32 bytes in URL-safe base64 are expected") from error
        return key

    def _key_from_file(self, *, make: bool) -> bytes:
        path = key_path()
        try:
            if make and not path.exists():
                _make_key(path)
            if path.stat().st_mode & 0o077:
                raise UsageError(f"others on this machine can read the vault's key {path}", hint=f"chmod 600 {path}")
            return path.read_bytes().strip()
        except FileNotFoundError as error:
            raise UsageError(
                f"{self.path} is encrypted and its key is not here", hint=f"set CTL_VAULT_KEY, or restore {path}{_LOST}"
            ) from error
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error


def _make_key(path: Path) -> None:
    from cryptography.fernet import Fernet  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(path.parent):
        if not path.exists():
            write_atomically(path, Fernet.generate_key() + b"\n", mode=0o600)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. The kernel lets go of it however the process ends, so that none is ever stale."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
