"""The vault: secrets by host and name, in one encrypted file beside the inventory.

`vault.enc` is a Fernet token (AES-128-CBC with HMAC-SHA256) around JSON. Its key comes from `CTL_VAULT_KEY`, else from
`vault.key` in the user's configuration folder, made on first use with mode 0600.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from ctl.core.errors import InvalidFile, UsageError
from ctl.edge.project import write_atomically


def key_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "ctl" / "vault.key"


class Vault:
    """Reads on first use; `keep` writes the whole file anew, atomically."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "vault.enc"

    def read(self, host: str) -> dict[str, str]:
        """All secrets of one host. Raises InvalidFile, UsageError."""
        return dict(self._load().get(host, {}))

    def hosts(self) -> tuple[str, ...]:
        return tuple(sorted(self._load()))

    def keep(self, host: str, values: Mapping[str, str]) -> None:
        """Add or replace secrets of one host."""
        data = self._load()
        data[host] = {**data.get(host, {}), **values}
        from cryptography.fernet import Fernet  # noqa: PLC0415  not needed by most commands

        token = Fernet(self._key(make=True)).encrypt(json.dumps(data, sort_keys=True).encode())
        write_atomically(self.path, token, mode=0o600)

    def _load(self) -> dict[str, dict[str, str]]:
        if not self.path.exists():
            return {}
        from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415

        try:
            data = json.loads(Fernet(self._key(make=False)).decrypt(self.path.read_bytes()))
        except InvalidToken as error:
            raise InvalidFile(
                str(self.path),
                "does not open with this key, or was changed",
                hint=f"the key is CTL_VAULT_KEY, else {key_path()}",
            ) from error
        except OSError as error:
            raise InvalidFile(str(self.path), error.strerror or str(error)) from error
        return {host: dict(values) for host, values in data.items()}

    def _key(self, *, make: bool) -> bytes:
        from cryptography.fernet import Fernet  # noqa: PLC0415

        given = os.environ.get("CTL_VAULT_KEY")
        path = key_path()
        try:
            if given:
                key = given.encode()
            elif path.exists():
                key = path.read_bytes().strip()
            elif make:
                key = Fernet.generate_key()
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_atomically(path, key + b"\n", mode=0o600)
            else:
                raise UsageError(
                    f"{self.path} is encrypted and its key is not here", hint=f"set CTL_VAULT_KEY, or restore {path}"
                )
            Fernet(key)
        except ValueError as error:
            raise UsageError("the vault key is not one: 32 bytes in URL-safe base64 are expected") from error
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        return key
