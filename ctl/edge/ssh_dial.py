"""Opens one authenticated SSH connection: ssh_config, jump hosts, TCP, host key, algorithms, keys.

Fabric's Connection brings ssh_config and the way through jump hosts together. It is kept from three of its habits: it
would accept any host key, read ~/.fabric.yaml, and take its host for a string to parse.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import fabric
import paramiko

from ctl.core.errors import ConnectFailed
from ctl.edge.ssh_errors import translated
from ctl.edge.ssh_keys import Keys
from ctl.edge.ssh_trust import KnownHosts

KEEPALIVE = 15  # seconds without traffic after which we send a sign of life
_UNHEARD = 45  # seconds without an acknowledgement after which the kernel gives the peer up

_CIPHERS = (
    "aes128-gcm@openssh.com",  # a third less CPU than a cipher with a separate MAC
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
_KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
)
_KEYS = (
    "ssh-ed25519",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-ed25519-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
)
_SHA1_SIGNATURES = {"pubkeys": ["ssh-rsa", "ssh-rsa-cert-v01@openssh.com", "ssh-dss"]}
_HOP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>[0-9]+))?")
_MOST_HOPS = 8  # a ProxyJump that leads back to itself ends here

# Without a handler of its own, what paramiko logs about a broken connection would be printed to stderr by logging.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """Where to connect and how far to trust. None leaves a matter to ssh_config, then to SSH's own default."""

    address: str
    port: int | None
    user: str | None
    key: Path | None
    known_hosts: Path | None
    accept_new_host_key: bool
    connect_timeout: float  # seconds, each for TCP, for the handshake and for the answer to a key
    ssh_config: bool

    def open(self) -> fabric.Connection:
        """A Connection whose `transport` is ready for channels. Raises the children of Unreachable."""
        with translated(self.address):
            route = self._route(self.address, self.port, self.user, self.key)
            for before, after in pairwise(route):
                after.gateway = before
        try:
            for connection in route:
                self._connect(connection)
        except BaseException:
            hang_up(route[-1])
            raise
        return route[-1]

    def _route(
        self, address: str, port: int | None, user: str | None, key: Path | None, depth: int = 0
    ) -> list[fabric.Connection]:
        """The jump hosts in the order of the way, then the host itself."""
        if depth > _MOST_HOPS:
            raise ConnectFailed(f"the way to {self.address} leads in a circle", hint="see ProxyJump in ~/.ssh/config")
        connection = self._prepared(address, port, user, key)
        route: list[fabric.Connection] = []
        for hop in _jumps(connection):
            # The first hop is reached as its own configuration says, the others through the hop before them.
            route += self._route(*hop, None, depth + 1) if not route else [self._prepared(*hop, None)]
        return [*route, connection]

    def _prepared(self, address: str, port: int | None, user: str | None, key: Path | None) -> fabric.Connection:
        """A Connection that knows its host, port, user and keys, and has yet to be opened."""
        # What the caller knows stands before the files: the first value wins, and %p and %r in them see it too.
        known = (f"Port {port}\n" if port else "") + (f"User {user}\n" if user else "")
        config = fabric.Config(ssh_config=self._ssh_config(known), lazy=True)  # lazy: no file and no variable is read
        try:
            # What is given as nothing here, Fabric does not work out itself.
            nothing = {"gateway": False, "forward_agent": False, "connect_timeout": 0}
            connection = fabric.Connection(address, config=config, **nothing)
        except (ValueError, RecursionError) as error:
            raise paramiko.ConfigParseError(str(error)) from error
        connection.host = connection.host.lower()
        connection.connect_timeout = self.connect_timeout
        trust = KnownHosts(self.known_hosts, accept_new=self.accept_new_host_key)
        connection.client.set_missing_host_key_policy(trust)
        keys = Keys(
            _peer(connection),
            connection.user,
            named=key,
            configured=tuple(Path(file).expanduser() for file in connection.ssh_config.get("identityfile", ())),
            only=connection.ssh_config.get("identitiesonly", "").lower() == "yes",
        )
        connection.connect_kwargs = {
            "auth_strategy": keys,
            "banner_timeout": self.connect_timeout,
            "auth_timeout": self.connect_timeout,
            "channel_timeout": self.connect_timeout,
            "disabled_algorithms": _SHA1_SIGNATURES,
            "transport_factory": partial(_transport, trust.kinds(_name(connection)), self.connect_timeout),
        }
        return connection

    def _ssh_config(self, known: str) -> paramiko.SSHConfig:
        parsed = paramiko.SSHConfig.from_text(known)
        if self.ssh_config:
            for file in (Path.home() / ".ssh" / "config", Path("/etc/ssh/ssh_config")):
                with contextlib.suppress(FileNotFoundError), file.open(errors="replace") as lines:
                    parsed.parse(lines)
        return parsed

    def _connect(self, connection: fabric.Connection) -> None:
        peer = _peer(connection)
        if not connection.gateway:
            command = connection.ssh_config.get("proxycommand")
            with translated(peer):
                connection.connect_kwargs["sock"] = (
                    _ProxySocket.start(command)
                    if command
                    else _tcp(connection.host, connection.port, self.connect_timeout)
                )
        with translated(peer, deadline=time.monotonic() + self.connect_timeout):
            connection.open()
            connection.transport.set_keepalive(KEEPALIVE)


def hang_up(connection: fabric.Connection) -> None:
    """Close a connection and the jump hosts behind it, at whatever stage they are."""
    while connection:
        sock = connection.connect_kwargs.get("sock")
        if sock is not None:
            # paramiko's reader looks up only every 100 ms; the end of the stream wakes it at once.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if transport := connection.client.get_transport():
            # After a failed handshake paramiko's timer runs on, in a thread that the end of the program would wait for.
            transport.packetizer.complete_handshake()
        connection.client.close()
        if sock is not None:
            sock.close()
        connection = connection.gateway


def _jumps(connection: fabric.Connection) -> list[tuple[str, int | None, str | None]]:
    """ProxyJump as (address, port, user), in the order of the way; none for `none` and for a host that is its own."""
    text = connection.ssh_config.get("proxyjump", "none")
    hops: list[tuple[str, int | None, str | None]] = []
    for hop in () if text.strip().lower() == "none" else text.split(","):
        match = _HOP.fullmatch(hop.strip())
        if match is None:
            raise paramiko.ConfigParseError(f"ProxyJump {text}")
        address = match["v6"] or match["host"]
        if address == connection.original_host:
            return []  # `Host *` with a ProxyJump speaks of the jump host too
        hops.append((address, int(match["port"]) if match["port"] else None, match["user"]))
    return hops


def _peer(connection: fabric.Connection) -> str:
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    return f"{connection.user}@{host}:{connection.port}"


def _name(connection: fabric.Connection) -> str:
    """The host as known_hosts names it."""
    return connection.host if connection.port == 22 else f"[{connection.host}]:{connection.port}"


def _transport(known: tuple[str, ...], timeout: float, sock: Any, **options: Any) -> paramiko.Transport:
    """A paramiko Transport that offers today's algorithms only, and asks first for the kinds of host key we know.

    Nothing on NIST's curves is among them, except a host's ECDSA key where that is all we know it by.
    """
    transport = paramiko.Transport(sock, **options)
    transport.handshake_timeout = timeout
    offer = transport.get_security_options()
    offer.ciphers = _those(_CIPHERS, offer.ciphers)
    offer.digests = _those(_MACS, offer.digests)
    offer.kex = _those(_KEX, offer.kex)
    ecdsa_alone = known if all(name.startswith("ecdsa-") for name in known) else ()
    kinds = _those((*_KEYS, *ecdsa_alone), offer.key_types)
    # A key is known as ssh-rsa whatever the hash that it signs with.
    offer.key_types = tuple(sorted(kinds, key=lambda name: (name if "rsa" not in name else "ssh-rsa") not in known))
    return transport


def _those(wanted: tuple[str, ...], offered: Any) -> tuple[str, ...]:
    return tuple(name for name in wanted if name in offered)


class _Socket(socket.socket):
    """Acknowledges at once: sshd holds its next small message back until the last one is acknowledged."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if _acknowledge := getattr(socket, "TCP_QUICKACK", None):  # Linux; the kernel forgets it after each use
            self.setsockopt(socket.IPPROTO_TCP, _acknowledge, 1)
        return super().recv(size, flags)


def _tcp(host: str, port: int, timeout: float) -> socket.socket:
    """A connected socket. All addresses of the host share `timeout`, so that a dead IPv6 does not eat it whole."""
    deadline = time.monotonic() + timeout
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    problem: OSError = TimeoutError()
    for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        sock = _Socket(family, kind, protocol)
        try:
            sock.settimeout(max((deadline - time.monotonic()) / left, 0.01))
            sock.connect(address)
            _tune(sock.setsockopt)
            return sock
        except OSError as error:
            sock.close()
            problem = error
    raise problem


def _tune(option: Callable[[int, int, int], None]) -> None:
    tcp = socket.IPPROTO_TCP
    option(tcp, socket.TCP_NODELAY, 1)
    option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Our signs of life ask for no answer; it is the kernel that notices that nobody acknowledges them.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        option(tcp, socket.TCP_USER_TIMEOUT, _UNHEARD * 1000)
    elif hasattr(socket, "TCP_KEEPALIVE"):  # macOS, where 0x80 is TCP_RXT_CONNDROPTIME
        option(tcp, 0x80, _UNHEARD)


class _ProxySocket(socket.socket):
    """The end of a ProxyCommand as a socket. paramiko's own class for it spins for ever when the command ends."""

    _process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, command: str) -> _ProxySocket:
        ours, theirs = socket.socketpair()
        with theirs:
            sock = cls(fileno=ours.detach())
            # As OpenSSH does it: a shell reads the line, which comes from the user's own ssh_config.
            sock._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )
        return sock

    def close(self) -> None:
        super().close()
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
