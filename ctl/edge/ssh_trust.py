"""Whether the host that answers is the host that is meant: known_hosts, read and kept as OpenSSH does it.

paramiko's own reader skips `@revoked` and patterns, knows one key of a type for a host and stops at a damaged line;
so the files are read here, and paramiko is left with no keys of its own and asks this policy every time.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shlex
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from ctl.core.errors import HostKeyChanged, HostKeyUnknown

_SYSTEM_FILE = Path("/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True, slots=True)
class _Known:
    """One line of known_hosts that speaks of the host in question."""

    file: Path
    marker: str  # "", "@revoked" or "@cert-authority"
    kind: str
    key: bytes


class KnownHosts(paramiko.MissingHostKeyPolicy):
    """Accepts the keys that known_hosts holds for a host; a first key only with `accept_new`, and then keeps it.

    `file` None: ~/.ssh/known_hosts, and /etc/ssh/ssh_known_hosts beside it. Host names are as known_hosts has them:
    `host`, or `[host]:port` where the port is not 22.
    """

    def __init__(self, file: Path | None, *, accept_new: bool) -> None:
        self._file = file or Path.home() / ".ssh" / "known_hosts"
        self._files = (self._file,) if file else (self._file, _SYSTEM_FILE)
        self._accept_new = accept_new

    def kinds(self, host: str) -> tuple[str, ...]:
        """The types of the known keys, so that the server can be asked for one of those first."""
        return tuple(dict.fromkeys(known.kind for known in self._lookup(host) if not known.marker))

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """paramiko's question. Returns if the key is to be trusted; raises HostKeyChanged or HostKeyUnknown."""
        offered = key.asbytes()
        shown = f"{key.get_name()} {fingerprint(offered)}"
        about = list(self._lookup(hostname))
        if any(known.marker == "@revoked" and known.key == offered for known in about):
            raise HostKeyChanged(f"the host key of {hostname} is marked as revoked: {shown}", hint=_CHANGED)
        known_keys = [known for known in about if not known.marker]
        if any(known.key == offered for known in known_keys):
            return
        if known_keys:
            first = known_keys[0]
            expected = ", ".join(f"{known.kind} {fingerprint(known.key)}" for known in known_keys)
            forget = f"ssh-keygen -f {shlex.quote(str(first.file))} -R {shlex.quote(hostname)}"
            raise HostKeyChanged(
                f"the host key of {hostname} has changed: offered {shown}, expected {expected}",
                hint=f"{_CHANGED}; if the server was rebuilt, forget the old key: {forget}",
            )
        if not self._accept_new:
            short = key.get_name().removeprefix("ssh-").partition("-")[0]
            raise HostKeyUnknown(
                f"the host key of {hostname} is not known: {shown}",
                hint="compare it with what the host's own console shows for "
                f"`ssh-keygen -lf /etc/ssh/ssh_host_{short}_key.pub` (many providers print it in the boot log); "
                "if they agree, run again with --accept-new-host-key",
            )
        self._keep(f"{hostname} {key.get_name()} {b64encode(offered).decode()}\n")

    def _lookup(self, host: str) -> Iterator[_Known]:
        for file in self._files:
            try:
                text = file.read_text("utf-8", "replace")
            except FileNotFoundError:
                continue
            for line in text.splitlines():
                fields = line.split()
                marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
                if len(fields) >= 3 and not fields[0].startswith("#") and _matches(fields[0], host):
                    try:
                        yield _Known(file, marker, fields[1], b64decode(fields[2], validate=True))
                    except ValueError:
                        continue  # a damaged line vouches for nobody

    def _keep(self, line: str) -> None:
        """Append in one write, so that hosts that are met at the same time do not mix their lines."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._file, "a+b", opener=_private) as file:
            if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                line = "\n" + line
            file.write(line.encode())


_CHANGED = "do not go on before you know why: someone may be between you and the host"


def fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _matches(names: str, host: str) -> bool:
    """The first field of a known_hosts line: a hash, or names and patterns; a pattern with `!` that matches forbids."""
    if names.startswith("|1|"):
        _, _, salt, digest = [*names.split("|"), "", ""][:4]
        try:
            return hmac.compare_digest(hmac.digest(b64decode(salt), host.encode(), "sha1"), b64decode(digest))
        except ValueError:
            return False
    found = False
    for name in names.split(","):
        pattern = re.escape(name.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(pattern, host, re.IGNORECASE):
            if name.startswith("!"):
                return False
            found = True
    return found
