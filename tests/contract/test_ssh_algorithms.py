"""What the client offers to a server, against what outside judges make of it (ssh-audit 3.3, client audit).

`ssh-audit -c -p 2222` in one terminal and `ctl plan root@localhost:2222 --stack lean-llm` in another shows the verdict
itself: nothing of level "fail".
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import paramiko
import pytest

from ctl.edge.ssh_dial import _transport

FAIL = {
    "kex": {
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group1-sha1",
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group-exchange-sha1",
    },
    "key_types": {
        "ssh-rsa",
        "ssh-dss",
        "ssh-rsa-cert-v01@openssh.com",
        *(f"ecdsa-sha2-nistp{bits}{end}" for bits in (256, 384, 521) for end in ("", "-cert-v01@openssh.com")),
    },
    "ciphers": {"3des-cbc", "blowfish-cbc", "arcfour", "arcfour128", "arcfour256"},
    "digests": {"hmac-md5", "hmac-md5-96", "hmac-sha1", "hmac-sha1-96"},
}


@pytest.fixture
def pair() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def offered(sock: socket.socket, *known: str) -> paramiko.SecurityOptions:
    transport = _transport(known, 5.0, sock)
    try:
        return transport.get_security_options()
    finally:
        transport.close()


def test_nothing_is_offered_that_fails_the_audit(pair: socket.socket) -> None:
    offer = offered(pair)
    for kind, failing in FAIL.items():
        assert not failing & set(getattr(offer, kind)), kind


def test_exactly_what_was_judged_is_offered(pair: socket.socket) -> None:
    """A new paramiko with new algorithms does not widen the offer by itself."""
    offer = offered(pair)
    assert offer.kex == (
        "mlkem768x25519-sha256",
        "curve25519-sha256@libssh.org",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group-exchange-sha256",
    )
    assert offer.ciphers == ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
    assert offer.digests == ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
    assert offer.key_types[:3] == ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")
    assert all(name.endswith("-cert-v01@openssh.com") for name in offer.key_types[3:])


def test_the_kind_of_key_that_we_know_is_asked_for_first(pair: socket.socket) -> None:
    assert offered(pair, "ssh-rsa").key_types[0] == "rsa-sha2-512"


def test_a_host_known_by_its_ecdsa_key_alone_stays_reachable(pair: socket.socket) -> None:
    kinds = offered(pair, "ecdsa-sha2-nistp256").key_types
    assert kinds[0] == "ecdsa-sha2-nistp256"
    assert "ecdsa-sha2-nistp384" not in kinds


def test_a_host_known_by_a_better_key_too_is_not_asked_for_its_ecdsa_key(pair: socket.socket) -> None:
    assert "ecdsa-sha2-nistp256" not in offered(pair, "ecdsa-sha2-nistp256", "ssh-ed25519").key_types
