"""What only SSH can do wrong: trust, keys, the network, ssh_config. The server is real, or a socket that misbehaves."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
import sshd_server
from paramiko import ssh_exception
from sshd_server import Sshd

from ctl.core.errors import (
    AuthFailed,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    CtlError,
    HostKeyChanged,
    HostKeyUnknown,
    InvalidTarget,
    Unreachable,
)
from ctl.edge.ssh import SshTransport
from ctl.edge.ssh_errors import MEANING, printable, translated
from ctl.edge.ssh_trust import KnownHosts, fingerprint

# --- trust


def test_an_unknown_host_is_refused_and_shown(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    with pytest.raises(HostKeyUnknown) as caught, sshd.transport(known_hosts=known) as host:
        host.run("true")
    key = paramiko.PKey.from_path(sshd.host_key)
    assert f"[127.0.0.1]:{sshd.port}" in caught.value.message
    assert f"ssh-ed25519 {fingerprint(key.asbytes())}" in caught.value.message
    assert "--accept-new-host-key" in caught.value.hint
    assert not known.exists()


def test_an_unknown_host_is_accepted_on_request_and_known_from_then_on(sshd: Sshd, home: Path) -> None:
    with sshd.transport(known_hosts=None, accept_new_host_key=True) as host:
        assert host.run("echo in").stdout == b"in\n"
    with sshd.transport(known_hosts=None) as host:
        assert host.run("echo in").stdout == b"in\n"
    assert (home / ".ssh" / "known_hosts").read_text() == sshd.known_hosts.read_text()


def test_openssh_reads_what_we_kept(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    with sshd.transport(known_hosts=known, accept_new_host_key=True) as host:
        host.run("true")
    options = ["-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
    where = ["-i", str(sshd.key), "-p", str(sshd.port), f"{sshd.user}@127.0.0.1"]
    subprocess.run(["ssh", *options, *where, "true"], check=True, capture_output=True)


def test_a_changed_key_is_refused_even_if_new_ones_are_accepted(sshd: Sshd, tmp_path: Path) -> None:
    other = sshd_server.make_key(tmp_path / "other").with_suffix(".pub").read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    with (
        pytest.raises(HostKeyChanged, match="has changed"),
        sshd.transport(known_hosts=known, accept_new_host_key=True) as host,
    ):
        host.run("true")


def test_the_policy_of_fabric_is_not_in_force(sshd: Sshd) -> None:
    with sshd.transport() as host:
        host.run("true")
        connection = host._connection
        assert connection is not None
        assert type(connection.client._policy) is KnownHosts


# --- keys


def test_a_key_that_the_host_does_not_know(sshd: Sshd, tmp_path: Path) -> None:
    key = sshd_server.make_key(tmp_path / "stranger")
    with pytest.raises(AuthFailed) as caught, sshd.transport(key=key) as host:
        host.run("true")
    assert f"{sshd.user}@127.0.0.1:{sshd.port}" in caught.value.message
    assert f"key {key} (ssh-ed25519 SHA256:" in caught.value.message
    assert "authorized_keys" in caught.value.hint


def test_a_user_that_the_host_does_not_know(sshd: Sshd) -> None:
    with pytest.raises(AuthFailed, match="no-such-user@"), sshd.transport(user="no-such-user") as host:
        host.run("true")


def test_a_key_that_is_not_there(sshd: Sshd, tmp_path: Path) -> None:
    with pytest.raises(AuthFailed, match="missing does not exist"), sshd.transport(key=tmp_path / "missing") as host:
        host.run("true")


def test_a_key_that_is_none(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(AuthFailed, match="junk cannot be read"), sshd.transport(key=tmp_path / "junk") as host:
        host.run("true")


def test_an_encrypted_key_without_an_agent(sshd: Sshd, tmp_path: Path) -> None:
    key = sshd_server.make_key(tmp_path / "locked", passphrase="secret")
    with pytest.raises(AuthFailed, match="locked is encrypted") as caught, sshd.transport(key=key) as host:
        host.run("true")
    assert caught.value.hint.endswith(f"ssh-add {key}")


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_kinds_of_keys(sshd: Sshd, tmp_path: Path, kind: str) -> None:
    key = sshd_server.make_key(tmp_path / kind, kind=kind)
    with (sshd.folder / "authorized_keys").open("a") as file:
        file.write((tmp_path / f"{kind}.pub").read_text())
    with sshd.transport(key=key) as host:
        assert host.run("echo in").stdout == b"in\n"


def test_the_usual_keys_are_tried_without_a_named_one(sshd: Sshd, home: Path) -> None:
    (home / ".ssh" / "id_ed25519").write_bytes(sshd.key.read_bytes())
    with sshd.transport(key=None) as host:
        assert host.run("echo in").stdout == b"in\n"


def test_without_any_key(sshd: Sshd) -> None:
    with pytest.raises(AuthFailed, match="no keys at all"), sshd.transport(key=None) as host:
        host.run("true")


@pytest.fixture
def agent(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ssh-agent that holds the key."""
    where = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", where], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(where))
    while not where.exists():
        time.sleep(0.01)
    subprocess.run(["ssh-add", "-q", sshd.key], check=True)
    yield
    process.terminate()
    process.wait()


@pytest.mark.usefixtures("agent")
def test_the_agent_opens_what_an_encrypted_key_cannot(sshd: Sshd, tmp_path: Path) -> None:
    key = sshd_server.make_key(tmp_path / "locked", passphrase="secret")
    for named in (None, key):
        with sshd.transport(key=named) as host:
            assert host.run("echo in").stdout == b"in\n"


@pytest.mark.usefixtures("agent")
def test_identities_only_leaves_the_other_keys_of_the_agent_alone(sshd: Sshd, home: Path, tmp_path: Path) -> None:
    config = home / ".ssh" / "config"
    config.write_text(f"Host *\n IdentitiesOnly yes\n IdentityFile {tmp_path}/other\n")
    with pytest.raises(AuthFailed, match="no keys at all"), sshd.transport(key=None, ssh_config=True) as host:
        host.run("true")
    (tmp_path / "other.pub").write_text(sshd.key.with_suffix(".pub").read_text())
    with sshd.transport(key=None, ssh_config=True) as host:
        assert host.run("echo in").stdout == b"in\n"


# --- the network


@pytest.fixture
def misbehaving() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Gives the port of a server that does one thing to each connection and then keeps it open."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(act: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            held.append(peer)
            with contextlib.suppress(OSError):
                act(peer)

    def start(act: Callable[[socket.socket], None]) -> int:
        threads.append(threading.Thread(target=serve, args=(act,), daemon=True))
        threads[-1].start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    for peer in held:
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(2)
    for peer in held:
        peer.close()
    listener.close()


def test_a_failed_handshake_leaves_no_thread_to_wait_for(
    misbehaving: Callable[[Callable[[socket.socket], None]], int],
) -> None:
    port = misbehaving(lambda peer: peer.sendall(b"SSH-2.0-x\r\n" + b"\xff" * 300))
    before = threading.active_count()
    with pytest.raises(ConnectFailed):
        SshTransport(address="127.0.0.1", port=port, user="u", connect_timeout=30, ssh_config=False).run("true")
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def flood(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"A" * 4096)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda peer: None, ConnectTimeout),
        (lambda peer: peer.sendall(b"SSH-2.0-slow\r\n"), ConnectTimeout),
        (lambda peer: peer.sendall(b"SSH-2.0-half"), ConnectTimeout),
        (flood, Unreachable),
        (lambda peer: peer.sendall(b"HTTP/1.1 400 \x1b[31mBad\r\n" * 200), ConnectFailed),
        (lambda peer: peer.sendall(b"SSH-1.5-old\r\n"), ConnectFailed),
        (lambda peer: peer.sendall(b"SSH-2.0-x\r\n" + b"\x00\x00\x00\x0c\x04\x14" + b"\xff" * 300), ConnectFailed),
        (lambda peer: peer.sendall(b"SSH-2.0-x\r\n" + b"\xff" * 300), ConnectFailed),
        (lambda peer: peer.shutdown(socket.SHUT_RDWR), ConnectFailed),
    ],
    ids=["silent", "banner-only", "half-banner", "flood", "http", "ssh1", "bad-kexinit", "bad-length", "hangs-up"],
)
def test_a_server_that_misbehaves(
    misbehaving: Callable[[Callable[[socket.socket], None]], int],
    act: Callable[[socket.socket], None],
    expected: type[CtlError],
    capfd: pytest.CaptureFixture[str],
) -> None:
    port = misbehaving(act)
    before = threading.active_count()
    started = time.monotonic()
    # What is refused is refused at once, however busy this machine is; what says nothing is waited for.
    patience = 0.2 if expected is ConnectTimeout else 8
    host = SshTransport(address="127.0.0.1", port=port, user="u", connect_timeout=patience, ssh_config=False)
    with pytest.raises(expected) as caught:
        host.run("true")
    assert caught.value.message.startswith(f"u@127.0.0.1:{port} ")
    assert caught.value.message.isprintable()
    assert caught.value.exit_code == 5
    assert capfd.readouterr() == ("", "")  # paramiko's own log of the matter is not the user's
    # A thread that stays would hold up the end of the program.
    while threading.active_count() > before and time.monotonic() - started < 10:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_connection_that_began_ahead_is_the_one_that_is_used(sshd: Sshd) -> None:
    before = sshd.log.count("Accepted publickey")
    with sshd.transport() as host:
        host.connect_ahead()
        host.connect_ahead()
        assert host.run("echo in").stdout == b"in\n"
        host.connect_ahead()
        assert host.run("echo in").stdout == b"in\n"
        assert (host.connections, host.channels) == (1, 2)
    assert sshd.log.count("Accepted publickey") == before + 1


def test_what_went_wrong_ahead_is_told_once_and_then_tried_again(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    with sshd.transport(known_hosts=known) as host:
        host.connect_ahead()
        with pytest.raises(HostKeyUnknown):
            host.run("true")
        known.write_text(sshd.known_hosts.read_text())
        assert host.run("echo in").stdout == b"in\n"


def test_a_connection_that_is_no_longer_wanted_keeps_nobody_waiting(
    sshd: Sshd, misbehaving: Callable[[Callable[[socket.socket], None]], int]
) -> None:
    threads = threading.active_count()
    silent = SshTransport(
        address="127.0.0.1",
        port=misbehaving(lambda peer: None),
        user="u",
        connect_timeout=4,
        ssh_config=False,
    )
    started = time.monotonic()
    for host in (silent, sshd.transport()):
        host.connect_ahead()
        host.close()
    assert time.monotonic() - started < 3.5
    while threading.active_count() > threads + 1 and time.monotonic() - started < 15:  # one serves as the silent host
        time.sleep(0.01)
    assert threading.active_count() <= threads + 1


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(ConnectFailed, match="refuses connections") as caught:
        SshTransport(address="127.0.0.1", port=port, user="u", ssh_config=False).run("true")
    assert "port" in caught.value.hint


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ConnectFailed, match="cannot be resolved"):
        SshTransport(address="no-such-host.invalid", user="u", ssh_config=False).run("true")


def test_an_address_that_is_not_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: socket.socket, address: Any) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr("ctl.edge.ssh_dial._Socket.connect", fail, raising=False)
    with pytest.raises(ConnectFailed, match="No route to host"):
        SshTransport(address="127.0.0.1", user="u", ssh_config=False).run("true")


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "a;b", "a@b", "", "$(id)"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(InvalidTarget):
        SshTransport(address=address, user="u")


def test_a_user_that_is_none() -> None:
    with pytest.raises(InvalidTarget):
        SshTransport(address="h", user="$(id)")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_dies_in_the_middle(sshd: Sshd, sign: signal.Signals) -> None:
    with sshd.transport() as host:
        started = time.monotonic()
        with pytest.raises(ConnectionLost, match="lost in the middle"):
            host.run("echo $PPID; exec sleep 30", on_stdout=lambda chunk: os.kill(int(chunk), sign))
        assert time.monotonic() - started < 20
        assert host.run("echo again").stdout == b"again\n"
        assert host.connections == 2


def test_a_server_that_dies_while_it_is_sent_input(sshd: Sshd) -> None:
    with sshd.transport() as host, pytest.raises(ConnectionLost):
        host.run(
            "echo $PPID; exec sleep 3",
            stdin=bytes(20 * 2**20),
            on_stdout=lambda chunk: os.kill(int(chunk), signal.SIGKILL),
        )


def test_a_server_that_dies_between_two_commands(sshd: Sshd) -> None:
    with sshd.transport() as host:
        os.kill(int(host.run("echo $PPID").stdout), signal.SIGKILL)
        time.sleep(0.1)
        assert host.run("echo again").stdout == b"again\n"
        assert host.connections == 2


def test_closing_from_elsewhere_ends_a_command(sshd: Sshd) -> None:
    with sshd.transport() as host:
        threading.Timer(0.2, host.close).start()
        with pytest.raises(ConnectionLost):
            host.run("sleep 30")


def test_the_socket_waits_for_nothing_and_notices_the_dead(sshd: Sshd) -> None:
    with sshd.transport() as host:
        host.run("true")
        connection = host._connection
        assert connection is not None
        sock = connection.transport.sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 45_000


def test_the_algorithms_are_of_today(sshd: Sshd) -> None:
    with sshd.transport() as host:
        host.run("true")
        connection = host._connection
        assert connection is not None
        transport = connection.transport
        assert transport.remote_cipher == transport.local_cipher == "aes128-gcm@openssh.com"
        offer = transport.get_security_options()
        offered = {*offer.ciphers, *offer.digests, *offer.kex, *offer.key_types}
        assert not {name for name in offered if "sha1" in name or "md5" in name or "cbc" in name or "3des" in name}
        assert not offered & {"ssh-rsa", "ssh-dss"}


def test_a_hundred_megabytes_in(sshd: Sshd) -> None:
    with sshd.transport() as host:
        assert host.run("wc -c", stdin=bytes(100 * 10**6), timeout=20).stdout.strip() == b"100000000"


# --- ssh_config and Fabric's own settings


def test_the_settings_of_fabric_are_not_read(sshd: Sshd, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison = "user: evil\nport: 1\ngateway: evil@127.0.0.1:1\nconnect_kwargs: {key_filename: /nowhere}\nrun: {env: 1}\n"
    for name in (".fabric.yaml", ".fabric.yml", ".invoke.yaml"):
        (home / name).write_text(poison)
    (home / ".fabric.py").write_text("raise SystemExit('read')")
    monkeypatch.setenv("FABRIC_USER", "evil")
    monkeypatch.setenv("INVOKE_RUN_SHELL", "/bin/false")
    (home / ".ssh" / "config").write_text(f"Host 127.0.0.1\n Port {sshd.port}\n")
    with sshd.transport(ssh_config=True, user=None, port=None) as host:
        assert host.run("id -un").stdout.decode().strip() == sshd.user


def test_ssh_config_is_read_and_what_the_caller_knows_goes_before_it(sshd: Sshd, home: Path) -> None:
    (home / ".ssh" / "config").write_text(
        f"Host Prod prod\n HostName 127.0.0.1\n Port {sshd.port}\n User {sshd.user}\n IdentityFile {sshd.key}\n"
        " ForwardAgent /tmp/odd\n ConnectTimeout none\n"
        "Host other\n HostName 127.0.0.1\n Port 1\n User nobody-here\n"
    )
    with sshd.transport(address="Prod", port=None, user=None, key=None, ssh_config=True) as host:
        assert host.run("echo in").stdout == b"in\n"
    with sshd.transport(address="other", ssh_config=True) as host:
        assert host.run("echo in").stdout == b"in\n"
    with pytest.raises(ConnectFailed, match=r"prod.* cannot be resolved"):
        sshd.transport(address="prod").run("true")


@pytest.mark.parametrize("text", ["Host *\n Port ssh\n", "Host *\nnonsense\n", "Host *\n ProxyJump a:b:c\n"])
def test_an_ssh_config_that_cannot_be_read(sshd: Sshd, home: Path, text: str) -> None:
    (home / ".ssh" / "config").write_text(text)
    with pytest.raises(ConnectFailed, match="ssh configuration") as caught:
        sshd.transport(ssh_config=True, port=None).run("true")
    assert "~/.ssh/config" in caught.value.hint


def jump_config(sshd: Sshd, home: Path, more: str = "") -> None:
    (home / ".ssh" / "config").write_text(
        f"Host inner inner2\n HostName 127.0.0.1\n ProxyJump {sshd.user}@jump,[127.0.0.1]:{sshd.port}\n"
        f"Host jump\n HostName 127.0.0.1\n Port {sshd.port}\n{more}"
        f"Host *\n User {sshd.user}\n IdentityFile {sshd.key}\n"
    )


def test_jump_hosts(sshd: Sshd, home: Path) -> None:
    jump_config(sshd, home)
    before = sshd.log.count("Accepted publickey")
    threads = threading.active_count()
    with sshd.transport(address="inner", user=None, key=None, ssh_config=True) as host:
        data = bytes(3 * 2**20)
        assert host.run("cat", stdin=data).stdout == data
        assert sshd.log.count("Accepted publickey") == before + 3
        assert host.connections == 1
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads


def test_the_key_of_a_jump_host_is_checked_too(sshd: Sshd, home: Path, tmp_path: Path) -> None:
    jump_config(sshd, home)
    with (
        pytest.raises(HostKeyUnknown),
        sshd.transport(address="inner", known_hosts=tmp_path / "none", ssh_config=True) as host,
    ):
        host.run("true")


def test_a_jump_that_is_everybodys_is_not_its_own(sshd: Sshd, home: Path) -> None:
    jump_config(sshd, home, more=" ProxyJump jump\n")
    with sshd.transport(address="inner", ssh_config=True) as host:
        assert host.run("echo in").stdout == b"in\n"


def test_a_circle_of_jumps(sshd: Sshd, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
    with pytest.raises(ConnectFailed, match="in a circle"):
        sshd.transport(address="a", ssh_config=True).run("true")


def test_a_jump_host_that_refuses_the_way(sshd: Sshd, home: Path) -> None:
    jump_config(sshd, home)
    with pytest.raises(ConnectFailed, match="refused to open a channel"):
        sshd.transport(address="inner", port=1, ssh_config=True).run("true")


PIPE = """
import os, socket, sys, threading
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := os.read(0, 65536): sock.sendall(data)
    os._exit(0)
threading.Thread(target=up).start()
while data := sock.recv(65536): os.write(1, data)
os._exit(0)
"""


def test_proxy_command(sshd: Sshd, home: Path, tmp_path: Path) -> None:
    (tmp_path / "pipe.py").write_text(PIPE)
    pipe = f"{shlex.quote(sys.executable)} {tmp_path}/pipe.py 127.0.0.1 %p"
    (home / ".ssh" / "config").write_text(f"Host 127.0.0.1\n ProxyCommand {pipe}\n")
    with sshd.transport(ssh_config=True) as host:
        assert host.run("cat", stdin=bytes(2**20)).stdout == bytes(2**20)
        connection = host._connection
        assert connection is not None
        process = connection.connect_kwargs["sock"]._process
        assert process.poll() is None
    assert process.poll() is not None


def test_a_proxy_command_that_ends_at_once(sshd: Sshd, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host *\n ProxyCommand false\n")
    started = time.monotonic()
    with pytest.raises(ConnectFailed):
        sshd.transport(ssh_config=True).run("true")
    assert time.monotonic() - started < 10


def test_proxies_that_are_switched_off(sshd: Sshd, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host *\n ProxyCommand none\n ProxyJump none\n")
    with sshd.transport(ssh_config=True) as host:
        assert host.run("echo in").stdout == b"in\n"


# --- the translation of errors

PUBLIC = [kind for kind in vars(ssh_exception).values() if isinstance(kind, type) and issubclass(kind, Exception)]
ARGUMENTS: dict[type[Exception], tuple[Any, ...]] = {
    ssh_exception.BadAuthenticationType: ("no", ["password"]),
    ssh_exception.PartialAuthentication: (["password"],),
    ssh_exception.ChannelException: (1, "prohibited"),
    ssh_exception.ProxyCommandFailure: ("nc", "gone"),
    ssh_exception.NoValidConnectionsError: ({("127.0.0.1", 22): OSError("refused")},),
}


def test_paramiko_has_the_errors_that_we_know_of() -> None:
    assert len(PUBLIC) >= 13


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_every_error_of_paramiko_has_a_meaning_of_its_own(kind: type[Exception]) -> None:
    assert kind in MEANING
    arguments = ARGUMENTS.get(kind, ("some text",))
    if kind is ssh_exception.BadHostKeyException:
        fake = type("Key", (), {"get_base64": lambda self: "AAAA"})()
        arguments = ("h", fake, fake)
    with pytest.raises(Unreachable) as caught, translated("u@h:22"):
        raise kind(*arguments)
    assert type(caught.value) is MEANING[kind][0]
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (paramiko.AuthenticationException("x"), AuthFailed),
        (socket.gaierror(-2, "Name or service not known"), ConnectFailed),
        (ConnectionRefusedError(111, "refused"), ConnectFailed),
        (ConnectionResetError(104, "reset"), ConnectFailed),
        (TimeoutError("timed out"), ConnectTimeout),
        (OSError(113, "No route"), ConnectFailed),
        (EOFError(), ConnectFailed),
        (UnicodeError("label too long"), ConnectFailed),
        (IndexError("out of range"), ConnectFailed),
        (paramiko.SSHException("\x1b[31mred\nline" + "x" * 1000), ConnectFailed),
    ],
    ids=repr,
)
def test_what_errors_mean(error: Exception, expected: type[CtlError]) -> None:
    with pytest.raises(CtlError) as caught, translated("u@h:22"):
        raise error
    assert type(caught.value) is expected
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    with pytest.raises(ConnectionLost), translated("u@h:22", running=True):
        raise error
    with pytest.raises(ConnectTimeout), translated("u@h:22", deadline=time.monotonic() - 1):
        raise error


def test_our_own_errors_pass_and_interrupts_too() -> None:
    with pytest.raises(HostKeyUnknown), translated("u@h:22", running=True):
        raise HostKeyUnknown("x")
    with pytest.raises(KeyboardInterrupt), translated("u@h:22"):
        raise KeyboardInterrupt


def test_printable() -> None:
    assert printable("a\x1b[31m\r\n\tb\u202ec") == "a [31m b c"
    assert len(printable("x" * 1000)) == 200
