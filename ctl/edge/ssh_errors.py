"""What an error of paramiko, fabric, invoke or a socket means to the user: the one place where they are translated."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
from paramiko import ssh_exception as ssh

from ctl.core.errors import (
    AuthFailed,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    CtlError,
    HostKeyChanged,
    Unreachable,
)

_CONFIG_HINT = "correct ~/.ssh/config or /etc/ssh/ssh_config, or leave them unread"
_KEY_HINT = "give the right key, or load it into the agent with ssh-add"

# The nearest ancestor of an error decides, so that a kind of error that a later paramiko adds is met by its parent.
MEANING: dict[type[BaseException], tuple[type[Unreachable], str, str]] = {
    ssh.BadHostKeyException: (HostKeyChanged, "offered another host key than the known one", ""),
    ssh.AuthenticationException: (AuthFailed, "did not let us in", _KEY_HINT),
    ssh.PasswordRequiredException: (AuthFailed, "needs a key that is encrypted", "load the key with ssh-add"),
    ssh.BadAuthenticationType: (AuthFailed, "takes no keys", "allow public keys in the host's sshd_config"),
    ssh.PartialAuthentication: (AuthFailed, "wants more than a key", "allow a key alone in the host's sshd_config"),
    ssh.UnableToAuthenticate: (AuthFailed, "did not let us in", _KEY_HINT),
    ssh.ChannelException: (ConnectFailed, "refused to open a channel", "see MaxSessions and AllowTcpForwarding there"),
    ssh.IncompatiblePeer: (ConnectFailed, "offers only outdated cryptography", "update OpenSSH on the host"),
    ssh.ProxyCommandFailure: (ConnectFailed, "cannot be reached through the ProxyCommand", _CONFIG_HINT),
    ssh.NoValidConnectionsError: (ConnectFailed, "does not answer on that port", ""),
    ssh.CouldNotCanonicalize: (ConnectFailed, "has no canonical name", _CONFIG_HINT),
    ssh.ConfigParseError: (ConnectFailed, "cannot be looked up in the ssh configuration", _CONFIG_HINT),
    ssh.MessageOrderError: (ConnectFailed, "sent SSH messages in a forbidden order", "something may be in between"),
    ssh.SSHException: (ConnectFailed, "does not speak SSH as expected", "check that an SSH server is on that port"),
    socket.gaierror: (ConnectFailed, "cannot be resolved", "check the address for a slip and your DNS"),
    UnicodeError: (ConnectFailed, "has a name that cannot be resolved", "check the address for a slip"),
    ConnectionRefusedError: (ConnectFailed, "refuses connections", "check the port, and that the SSH server runs"),
    TimeoutError: (ConnectTimeout, "did not answer in time", "check address and firewall, and that it is up"),
    EOFError: (ConnectFailed, "closed the connection at once", "look at the SSH server's log on the host"),
    OSError: (ConnectFailed, "cannot be reached", ""),
    # Whatever a hostile or broken server can provoke in the protocol code (InvalidTag, struct.error, IndexError).
    Exception: (ConnectFailed, "sent what cannot be understood", "check that an SSH server is on that port"),
}


@contextmanager
def translated(peer: str, *, deadline: float | None = None, running: bool = False) -> Iterator[None]:
    """Raise what the libraries raise as one of ours; ours pass through.

    `peer`: user@host:port for the message. `deadline`: `time.monotonic()` after which a failure is a ConnectTimeout;
    paramiko reports a silent host with errors that say nothing of time. `running`: a connection stood, so that every
    failure but a refused channel is a ConnectionLost.
    """
    try:
        yield
    except CtlError:
        raise
    except Exception as error:
        kind, what, hint = MEANING[next(kin for kin in type(error).__mro__ if kin in MEANING)]
        if deadline is not None and time.monotonic() >= deadline:
            kind, what, hint = MEANING[TimeoutError]
        elif running and not isinstance(error, paramiko.ChannelException):
            kind, what = ConnectionLost, "went away in the middle"
            hint = "what was started there may still be at work; look before it is started again"
        detail = printable(str(error)) or type(error).__name__
        raise kind(f"{peer} {what} ({detail})", hint=hint) from error


def printable(text: str) -> str:
    """Text that a host had a hand in, fit for a terminal: one line, no control characters, not long."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[:300])
    return " ".join(line.split())[:200]
