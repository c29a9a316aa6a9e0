"""Which key of which host is trusted, line by line of known_hosts."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import paramiko
import pytest
from sshd_server import make_key

from ctl.core.errors import HostKeyChanged, HostKeyUnknown
from ctl.edge.ssh_trust import KnownHosts, fingerprint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys")
    make_key(path / "right")
    make_key(path / "wrong")
    make_key(path / "ecdsa", kind="ecdsa")
    return path


def public(folder: Path, name: str) -> str:
    return " ".join((folder / f"{name}.pub").read_text().split()[:2])


def check(file: Path, key: Path, host: str, *, accept_new: bool = False) -> None:
    KnownHosts(file, accept_new=accept_new).missing_host_key(paramiko.SSHClient(), host, paramiko.PKey.from_path(key))


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ("example.com", "example.com"),
        ("Example.COM", "example.com"),
        ("other,example.com", "example.com"),
        ("*.example.com", "a.example.com"),
        ("10.0.0.?", "10.0.0.7"),
        ("[example.com]:2222", "[example.com]:2222"),
        ("[2001:db8::1]:2222", "[2001:db8::1]:2222"),
        ("*,!b", "a"),
    ],
)
def test_known(folder: Path, tmp_path: Path, names: str, host: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"# a comment\n\n{names} {public(folder, 'right')} a comment of its own\n")
    check(file, folder / "right", host)
    with pytest.raises(HostKeyChanged):
        check(file, folder / "wrong", host, accept_new=True)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ("example.com", "example.org"),
        ("example.com", "[example.com]:2222"),
        ("[example.com]:2222", "example.com"),
        ("exampleXcom", "example.com"),
        ("example.com", "exampleXcom"),
        ("*,!b", "b"),
        ("!b", "a"),
        ("[abc]", "a"),
        ("|1|broken", "a"),
        ("|1|not base64|%%%", "a"),
        ("# example.com", "example.com"),
        ("@cert-authority example.com", "example.com"),
    ],
)
def test_unknown(folder: Path, tmp_path: Path, names: str, host: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{names} {public(folder, 'right')}\n")
    with pytest.raises(HostKeyUnknown):
        check(file, folder / "right", host)


def test_hashed_names(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"[example.com]:2222 {public(folder, 'right')}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert "example" not in file.read_text()
    check(file, folder / "right", "[example.com]:2222")
    with pytest.raises(HostKeyUnknown):
        check(file, folder / "right", "example.com")
    with pytest.raises(HostKeyChanged):
        check(file, folder / "wrong", "[example.com]:2222")


def test_any_of_several_keys_is_right(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"h {public(folder, 'wrong')}\nh {public(folder, 'ecdsa')}\nh {public(folder, 'right')}\n")
    for name in ("right", "ecdsa", "wrong"):
        check(file, folder / name, "h")
    assert KnownHosts(file, accept_new=False).kinds("h") == ("ssh-ed25519", "ecdsa-sha2-nistp256")


def test_a_revoked_key_is_refused_even_if_new_ones_are_accepted(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"h {public(folder, 'right')}\n@revoked * {public(folder, 'right')}\n")
    for host in ("h", "new"):
        with pytest.raises(HostKeyChanged, match="revoked"):
            check(file, folder / "right", host, accept_new=True)


def test_a_damaged_line_does_not_hide_the_others(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_bytes(b"h ssh-ed25519 AAAA%%%\nh\n\xff\xfe\n@revoked\nh " + public(folder, "right").encode())
    check(file, folder / "right", "h")


def test_a_changed_key_is_told_with_both_fingerprints_and_the_way_out(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "known hosts"
    file.write_text(f"[h]:2222 {public(folder, 'right')}\n")
    with pytest.raises(HostKeyChanged) as caught:
        check(file, folder / "wrong", "[h]:2222")
    for name in ("right", "wrong"):
        key = paramiko.PKey.from_path(folder / name)
        assert f"ssh-ed25519 {fingerprint(key.asbytes())}" in caught.value.message
    assert f"ssh-keygen -f '{file}' -R '[h]:2222'" in caught.value.hint


def test_fingerprints_are_those_of_ssh_keygen(folder: Path) -> None:
    shown = subprocess.run(["ssh-keygen", "-l", "-f", folder / "right"], check=True, capture_output=True, text=True)
    assert fingerprint(paramiko.PKey.from_path(folder / "right").asbytes()) == shown.stdout.split()[1]


def test_an_accepted_key_is_kept_and_private(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "ssh" / "known_hosts"
    check(file, folder / "right", "[h]:2222", accept_new=True)
    assert file.read_text() == f"[h]:2222 {public(folder, 'right')}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    check(file, folder / "right", "[h]:2222")
    with pytest.raises(HostKeyChanged):
        check(file, folder / "wrong", "[h]:2222", accept_new=True)


def test_an_accepted_key_gets_a_line_of_its_own(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"other {public(folder, 'wrong')}")
    check(file, folder / "right", "h", accept_new=True)
    assert file.read_text() == f"other {public(folder, 'wrong')}\nh {public(folder, 'right')}\n"
    subprocess.run(["ssh-keygen", "-F", "h", "-f", file], check=True, capture_output=True)


def test_the_usual_file_is_used_by_default(folder: Path, home: Path) -> None:
    trust = KnownHosts(None, accept_new=True)
    trust.missing_host_key(paramiko.SSHClient(), "h", paramiko.PKey.from_path(folder / "right"))
    check(home / ".ssh" / "known_hosts", folder / "right", "h")
