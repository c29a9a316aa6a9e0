"""Proves to a host who we are: the named key, the agent's keys, the usual files, in that order.

paramiko's own sequence reports only its last failure; who cannot get in wants to know everything that was tried.
"""

from __future__ import annotations

import contextlib
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import paramiko

from ctl.core.errors import AuthFailed, ConnectTimeout
from ctl.edge.ssh_errors import printable
from ctl.edge.ssh_trust import fingerprint

_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")


class Keys:
    """The `auth_strategy` of one connection.

    `peer`: user@host:port for messages. `named`: the key file that was asked for; `configured`: those that ssh_config
    names, which may be missing. Only where neither is given are ~/.ssh/id_* tried. `only` is ssh_config's
    IdentitiesOnly: of the agent's keys, those that belong to one of these files.
    """

    def __init__(self, peer: str, user: str, *, named: Path | None, configured: tuple[Path, ...], only: bool) -> None:
        self._peer = peer
        self._user = user
        self._named = named
        self._files = configured or (() if named else tuple(Path.home() / ".ssh" / name for name in _USUAL))
        self._only = only
        self._tried: list[str] = []
        self._unusable: list[str] = []
        self._encrypted: list[Path] = []

    def authenticate(self, transport: paramiko.Transport) -> list[str]:
        """Offer key after key until one is taken. Raises AuthFailed with all that was tried, and ConnectTimeout."""
        deadline = time.monotonic() + transport.auth_timeout
        with contextlib.closing(_Agent()) as agent:
            for label, key in self._offers(agent.keys()):
                self._tried.append(f"{label} ({key.get_name()} {fingerprint(key.asbytes())})")
                try:
                    more = transport.auth_publickey(self._user, key)
                except paramiko.BadAuthenticationType:
                    break  # no key will do; _ask_without_key tells what would
                except paramiko.SSHException:
                    if time.monotonic() >= deadline:
                        raise ConnectTimeout(
                            f"{self._peer} did not answer in time when it was offered a key",
                            hint="look at the SSH server's log on the host",
                        ) from None
                    if not transport.is_active():
                        raise self._refused("hung up after", "name the right key: too many were offered") from None
                    continue
                if more:
                    raise self._refused(f"wants {', '.join(more)} as well after", "allow a key alone in sshd_config")
                return []
        return self._ask_without_key(transport)

    def _ask_without_key(self, transport: paramiko.Transport) -> list[str]:
        """Some hosts let in whom the network vouches for (Tailscale SSH); the others say here what they would take."""
        try:
            transport.auth_none(self._user)
        except paramiko.BadAuthenticationType as error:
            hint = "check the user name, and that one of these keys stands in its ~/.ssh/authorized_keys on the host"
            if "publickey" not in error.allowed_types:
                takes = printable(", ".join(error.allowed_types))
                hint = f"the host takes {takes}, but no keys: allow them in its sshd_config"
            elif self._encrypted:
                hint = f"load the encrypted key into the agent: ssh-add {self._encrypted[0]}"
            raise self._refused("took none of", hint) from None
        return []

    def _offers(self, agent_keys: tuple[paramiko.PKey, ...]) -> Iterator[tuple[str, paramiko.PKey]]:
        """Every usable key once, with a label for messages."""
        offered: set[bytes] = set()
        if self._named and (key := self._load(self._named, must_exist=True)):
            offered.add(key.asbytes())
            yield f"key {self._named}", key
        wanted = {blob for file in (self._named, *self._files) if file and (blob := _public_half(file))}
        for key in agent_keys:
            blob = key.asbytes()
            if blob not in offered and (blob in wanted or not self._only):
                offered.add(blob)
                yield "agent key", key
        for file in self._files:
            if (key := self._load(file)) and key.asbytes() not in offered:
                offered.add(key.asbytes())
                yield f"key {file}", key

    def _load(self, file: Path, *, must_exist: bool = False) -> paramiko.PKey | None:
        try:
            return paramiko.PKey.from_path(file)
        except FileNotFoundError:
            if must_exist:
                self._unusable.append(f"{file} does not exist")
        except (paramiko.PasswordRequiredException, TypeError):  # TypeError: cryptography's way of saying the same
            self._encrypted.append(file)
            self._unusable.append(f"{file} is encrypted")
        except Exception as error:  # cryptography and paramiko have no common ancestor for what a bad file can raise
            self._unusable.append(f"{file} cannot be read ({printable(str(error)) or type(error).__name__})")
        return None

    def _refused(self, what: str, hint: str) -> AuthFailed:
        tried = "; ".join(self._tried) or "no keys at all"
        unusable = "".join(f"; {problem}" for problem in self._unusable)
        return AuthFailed(f"{self._peer} {what}: {tried}{unusable}", hint=hint)


class _Agent:
    """The keys of the user's ssh-agent; none where there is no agent or it does not answer sensibly."""

    def __init__(self) -> None:
        self._agent: paramiko.Agent | None = None

    def keys(self) -> tuple[paramiko.PKey, ...]:
        with contextlib.suppress(paramiko.SSHException, OSError):
            self._agent = paramiko.Agent()
        return self._agent.get_keys() if self._agent else ()

    def close(self) -> None:
        if self._agent:
            self._agent.close()


def _public_half(file: Path) -> bytes | None:
    """The blob in `<file>.pub`, which says which of the agent's keys is this one; an encrypted file itself does not."""
    try:
        return b64decode(file.with_name(f"{file.name}.pub").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
