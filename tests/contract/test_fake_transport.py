"""The scripted side of the fake; what it shares with the others is in test_transport_contract.py."""

from __future__ import annotations

import pytest

from ctl.core.errors import ConnectionLost
from ctl.core.ports import Result
from ctl.edge.fake import Call, FakeTransport

YES, NO = Result(0, b"yes", b""), Result(1, b"", b"no")


def test_the_first_entry_that_fits_answers_every_time() -> None:
    host = FakeTransport([("uname", YES), (lambda command: command.startswith("id"), NO), ("", Result(2, b"", b""))])
    assert [host.run(command).code for command in ("uname -m", "id -u", "uname", "other")] == [0, 1, 0, 2]


def test_what_nothing_answers_is_named() -> None:
    with pytest.raises(LookupError, match="no answer is scripted for 'rm -rf /'"):
        FakeTransport([("uname", YES)]).run("rm -rf /")


def test_calls_are_remembered() -> None:
    host = FakeTransport(lambda command, stdin: Result(0, stdin, b""))
    assert host.run("cat", stdin=b"x", timeout=3).stdout == b"x"
    host.run("true")
    assert host.calls == [Call("cat", b"x", 3), Call("true", b"", None)]


def test_a_handler_may_give_an_error() -> None:
    host = FakeTransport([("boom", ConnectionLost("gone")), ("", YES)])
    host.run("a")
    with pytest.raises(ConnectionLost):
        host.run("boom")
    assert not host.connected
    host.run("b")
    assert (host.connections, host.channels) == (2, 3)


def test_other_errors_leave_the_connection() -> None:
    host = FakeTransport([("boom", KeyError("x")), ("", YES)])
    with pytest.raises(KeyError):
        host.run("boom")
    host.run("b")
    assert host.connections == 1


def test_output_is_handed_over_in_chunks() -> None:
    chunks: list[bytes] = []
    host = FakeTransport([("", Result(3, b"abcdefg", b"err"))], chunk=3)
    assert host.run("x", on_stdout=chunks.append) == Result(3, b"", b"err")
    assert chunks == [b"abc", b"def", b"g"]


def test_close_and_reuse() -> None:
    with FakeTransport([("", YES)]) as host:
        host.run("a")
        assert host.connected
        host.close()
        host.close()
        host.run("b")
    assert not host.connected
    assert host.connections == 2
