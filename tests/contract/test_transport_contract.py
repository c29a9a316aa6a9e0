"""What every transport promises, tested on all of them: a real sshd, this machine, and the fake that ships."""

from __future__ import annotations

import random
import shlex
import signal
import time
from collections.abc import Iterator

import pytest
from sshd_server import Sshd

from ctl.core.errors import ConnectionLost, CtlError, RunFailed
from ctl.core.ports import Result, Transport
from ctl.edge import output
from ctl.edge.fake import FakeTransport
from ctl.edge.local import LocalTransport
from ctl.edge.ssh import SshTransport


def fake_with_a_shell() -> FakeTransport:
    """A fake whose handler understands commands by running them here."""

    def answer(command: str, stdin: bytes) -> Result | Exception:
        try:
            return LocalTransport().run(command, stdin=stdin, timeout=fake.calls[-1].timeout)
        except CtlError as error:
            return error

    fake = FakeTransport(answer)
    return fake


def opened(kind: str, request: pytest.FixtureRequest) -> Transport:
    if kind == "ssh":
        sshd: Sshd = request.getfixturevalue("sshd")
        return sshd.transport()
    return LocalTransport() if kind == "local" else fake_with_a_shell()


@pytest.fixture(params=["ssh", "local", "fake"])
def host(request: pytest.FixtureRequest) -> Iterator[Transport]:
    with opened(request.param, request) as transport:
        yield transport


@pytest.fixture(params=["ssh", "local"])
def clocked(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """For promises about time and about unbounded output, which a fake has no part in."""
    with opened(request.param, request) as transport:
        yield transport


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
def test_exit_code(host: Transport, code: int) -> None:
    assert host.run(f"exit {code}") == Result(code, b"", b"")


def test_unknown_command_is_a_result_not_an_error(host: Transport) -> None:
    result = host.run("no-such-command-anywhere")
    assert result.code == 127
    assert b"no-such-command-anywhere" in result.stderr


def test_a_killed_command_has_a_code_that_is_not_zero(host: Transport) -> None:
    result = host.run("echo before; kill -9 $$; echo after")
    assert result.code in (128 + signal.SIGKILL, 255)
    assert result.stdout == b"before\n"
    assert host.run("echo next").stdout == b"next\n"


def test_outputs_are_bytes_and_apart(host: Transport) -> None:
    everything = bytes(range(256))
    octal = "".join(f"\\{byte:03o}" for byte in everything)
    result = host.run(f"printf '{octal}'; printf '{octal}x' >&2")
    assert result == Result(0, everything, everything + b"x")


WEIRD = 'it\'s "q" $HOME `id` $(id) \\ \\n \n\t é 日本 🦊 * ? [a] {b,c} ; & | < > # ! ~ % ^'


def test_the_command_arrives_unchanged(host: Transport) -> None:
    assert host.run(f"printf %s {shlex.quote(WEIRD)}").stdout == WEIRD.encode()


def test_a_command_of_many_lines(host: Transport) -> None:
    assert host.run("set -e\nx='1\n2'\nif true; then\n\techo \"$x\"\nfi\ncat <<'E'\n$x\nE\n").stdout == b"1\n2\n$x\n"


def test_a_command_nearly_as_long_as_one_argument_may_be(host: Transport) -> None:
    text = "x" * 120_000
    assert host.run(f"printf %s {text}").stdout == text.encode()


@pytest.mark.parametrize("command", ["echo a\0b", "x" * 2**17])
def test_a_command_that_no_shell_can_be_given(host: Transport, command: str) -> None:
    with pytest.raises(ValueError, match=r"NUL|too long"):
        host.run(command)


def test_stdin_is_closed_without_input(host: Transport) -> None:
    assert host.run("cat; echo end") == Result(0, b"end\n", b"")


def test_stdin_is_closed_after_input(host: Transport) -> None:
    assert host.run("cat", stdin=b"\x00\xff\n\x04") == Result(0, b"\x00\xff\n\x04", b"")


def test_stdin_and_both_outputs_are_large_at_once(host: Transport) -> None:
    data = random.Random(1).randbytes(20 * 2**20)
    result = host.run("{ head -c 5000000 /dev/zero >&2 & cat; wait; }", stdin=data, timeout=30)
    assert result.stdout == data
    assert len(result.stderr) == output.STDERR_KEPT


def test_a_command_may_leave_its_stdin_unread(host: Transport) -> None:
    data = b"abc" + bytes(4 * 2**20)
    assert host.run("head -c 3", stdin=data) == Result(0, b"abc", b"")
    assert host.run("exit 5", stdin=data).code == 5


def test_chunks_are_handed_over_as_they_arrive(clocked: Transport) -> None:
    chunks: list[tuple[float, bytes]] = []
    started = time.monotonic()
    result = clocked.run(
        "for i in 1 2 3; do echo $i; sleep 0.3; done; echo no >&2",
        on_stdout=lambda chunk: chunks.append((time.monotonic() - started, chunk)),
    )
    ended = time.monotonic() - started
    assert result == Result(0, b"", b"no\n")
    assert b"".join(chunk for _, chunk in chunks) == b"1\n2\n3\n"
    times = [when for when, _ in chunks]
    assert times == sorted(times)
    assert len(chunks) == 3
    assert times[0] < ended - 0.1


def test_a_stream_is_handed_over_whole(host: Transport) -> None:
    data = random.Random(2).randbytes(3 * 2**20)
    chunks: list[bytes] = []
    host.run("cat", stdin=data, on_stdout=chunks.append)
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= output.CHUNK


def test_an_error_of_the_taker_is_its_own(host: Transport) -> None:
    def refuse(chunk: bytes) -> None:
        raise KeyError(chunk)

    with pytest.raises(KeyError):
        host.run("echo a; sleep 0.1", on_stdout=refuse)
    assert host.run("echo next").stdout == b"next\n"


def test_silence_has_a_limit(clocked: Transport) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectionLost, match=r"said nothing for 0\.15 s"):
        clocked.run("echo hello; sleep 20", timeout=0.15)
    assert time.monotonic() - started < 10
    assert clocked.run("echo next").stdout == b"next\n"


def test_silence_after_the_outputs_were_closed_has_a_limit(clocked: Transport) -> None:
    with pytest.raises(ConnectionLost):
        clocked.run("exec >&- 2>&-; sleep 20", timeout=0.15)


def test_either_output_breaks_the_silence(clocked: Transport) -> None:
    command = "sleep 0.5; echo out; sleep 0.5; echo err >&2; sleep 0.5"
    assert clocked.run(command, timeout=1.2) == Result(0, b"out\n", b"err\n")


def test_the_code_of_a_command_that_closed_its_outputs_early(host: Transport) -> None:
    assert host.run("exec >&- 2>&-; sleep 0.05; exit 7", timeout=5).code == 7


def test_many_runs(host: Transport) -> None:
    assert [host.run(f"echo {n}").stdout for n in range(20)] == [b"%d\n" % n for n in range(20)]
    if isinstance(host, SshTransport | FakeTransport):
        assert (host.connections, host.channels) == (1, 20)


def test_close_twice_and_use_again(host: Transport) -> None:
    assert host.run("echo 1").stdout == b"1\n"
    host.close()
    host.close()
    assert host.run("echo 2").stdout == b"2\n"
    if isinstance(host, SshTransport | FakeTransport):
        assert (host.connections, host.channels) == (2, 2)


def test_close_before_use(host: Transport) -> None:
    host.close()
    assert host.run("echo 1").stdout == b"1\n"


def test_commands_start_at_home_and_share_nothing(host: Transport) -> None:
    where = host.run("pwd; cd /; x=1; export x").stdout
    assert host.run("pwd; echo ${x-unset}").stdout == where + b"unset\n"


def test_output_that_nobody_takes_is_bounded(clocked: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "STDOUT_LIMIT", 2**20)
    assert len(clocked.run(f"head -c {2**20} /dev/zero").stdout) == 2**20
    with pytest.raises(RunFailed, match="more than 1 MiB"):
        clocked.run("head -c 3000000 /dev/zero; sleep 20")
    assert clocked.run("echo next").stdout == b"next\n"


def test_of_stderr_the_end_is_kept(host: Transport) -> None:
    stderr = host.run("head -c 3000001 /dev/zero >&2; echo the reason >&2; exit 1").stderr
    assert len(stderr) == output.STDERR_KEPT
    assert stderr.endswith(b"\x00the reason\n")
