"""The order of work on a host, against hosts that exist only here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from samples import APP_FILE, UNIT, Machine, fit, members, names, release, sent, settled, templates

from ctl import run
from ctl.core import script
from ctl.core.errors import ConnectFailed, ConnectionLost, CtlError, HostUnfit, Locked, RunFailed, Unhealthy
from ctl.core.ports import Result
from ctl.core.probe import FileFact
from ctl.core.report import Event
from ctl.edge.fake import FakeTransport
from ctl.run import asking
from ctl.run.following import Watch

SMALL = release()
AIM = run.Aim(SMALL, templates())
OLD = FileFact("0" * 64, 0o644, "root:root")
LOG = b"@ release r\n@ phase 2-deploy\n| pulling\n@ up app db\n@ healthy app\n@ healthy db\n@ exit 0\n"


def watch(heard: list[Event], **changes: Any) -> Watch:
    naps: list[float] = []
    made = Watch("r1", "deploy h1", "me@here", 1700000000, heard.append, sleep=naps.append)
    return replace(made, **changes)


def test_a_proposal_costs_one_connection_and_one_command() -> None:
    transport = FakeTransport(Machine(settled(SMALL)))
    todo = run.propose(transport, AIM)
    assert not todo
    assert (transport.connections, transport.channels) == (1, 1)
    assert sent(transport.calls[0].command) == script.probe(SMALL, templates())
    assert transport.calls[0].timeout == asking.PROBE_SECONDS


def test_a_proposal_keeps_to_the_part_that_was_asked_for() -> None:
    todo = run.propose(FakeTransport(Machine(fit())), replace(AIM, phases=(3,), only=("app",)))
    assert names(todo) == [f"create {UNIT}", "step 3-configure/20-extra@app"]


def test_a_host_that_cannot_carry_it_is_refused_before_anything_else() -> None:
    transport = FakeTransport(Machine(fit(memory=100)))
    with pytest.raises(HostUnfit, match="the stack declares 512 MB of memory"):
        run.propose(transport, AIM)
    assert transport.channels == 1


def test_a_proposal_waits_for_another_run_when_asked_to() -> None:
    answers = [fit(locked=True, lock="me"), fit(locked=True, lock="me"), fit()]
    naps: list[float] = []
    transport = FakeTransport(Machine(lambda text: answers.pop(0)))
    assert not run.propose(transport, AIM, wait=60, sleep=naps.append).facts.locked
    assert (transport.channels, len(naps)) == (3, 2)
    answers = [fit(locked=True), fit(locked=True)]
    assert run.propose(FakeTransport(Machine(lambda text: answers.pop(0))), AIM, wait=1, sleep=naps.append).facts.locked


REFUSALS = [
    (Result(1, b"", b"sudo: a password is required\n"), HostUnfit, "sudo on h1 wants a password", "NOPASSWD"),
    (Result(1, b"", b"sudo: a terminal is required to read"), HostUnfit, "sudo on h1 wants a password", "NOPASSWD"),
    (Result(127, b"", b"sh: 1: exec: sudo: not found\n"), HostUnfit, "there is no sudo on h1", "as root"),
    (Result(1, b"", b"me is not in the sudoers file."), HostUnfit, "this user may not use sudo on h1", "sudo group"),
    (Result(2, b"", b"\x1b[31mboom\n"), RunFailed, "h1 did not run the script (exit code 2): [31mboom", ""),
    (Result(2, b"", b""), RunFailed, "h1 did not run the script (exit code 2): it said nothing", ""),
    (Result(0, b"This is a router.\r\n", b""), HostUnfit, "the host did not answer the probe", ""),
]


@pytest.mark.parametrize(("result", "kind", "message", "hint"), REFUSALS, ids=[row[2] for row in REFUSALS])
def test_why_a_host_did_not_run_the_probe(result: Result, kind: type[CtlError], message: str, hint: str) -> None:
    with pytest.raises(kind) as caught:
        run.propose(FakeTransport([("sh -c", result)]), AIM)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


def test_contents_are_those_of_files_whose_diff_is_shown() -> None:
    gone = "/opt/small/stacks/gone/.env"
    there = settled(SMALL)
    facts = replace(
        there,
        files={**there.files, APP_FILE: OLD, gone: OLD, UNIT: replace(there.files[UNIT], mode=0o600)},
        applied={**there.applied, gone: OLD},
    )
    machine = Machine(facts, contents={APP_FILE: b"a = 0\n"})
    transport = FakeTransport(machine)
    todo = run.propose(transport, AIM)
    assert names(todo)[:1] == [f"update {APP_FILE}"]
    assert run.contents(transport, todo.files) == {APP_FILE: b"a = 0\n"}
    assert machine.texts[-1] == script.fetch([APP_FILE]), "a file that goes may hold secrets, and is not shown"


def test_contents_of_nothing_cost_nothing() -> None:
    transport = FakeTransport()
    assert run.contents(transport, run.propose_bare(AIM).files) == {}
    assert transport.channels == 0


def test_sensitive_files_are_not_fetched() -> None:
    secret = release(files=(replace(SMALL.files[0], sensitive=True), SMALL.files[1]))
    todo = run.propose(
        FakeTransport(Machine(replace(settled(secret), files={APP_FILE: OLD}))), replace(AIM, release=secret)
    )
    assert run.contents(FakeTransport(), todo.files) == {}


def test_a_host_that_sends_no_archive() -> None:
    todo = run.propose(FakeTransport(Machine(replace(settled(SMALL), files={APP_FILE: OLD}))), AIM)
    with pytest.raises(RunFailed, match="the host sent no archive"):
        run.contents(FakeTransport([("sh -c", Result(0, b"no tar", b""))]), todo.files)


def apply(answer: Any, heard: list[Event], chunk: int = 2**15, **changes: Any) -> tuple[FakeTransport, Any]:
    transport = FakeTransport(answer, chunk=chunk)
    todo = run.propose_bare(AIM)
    return transport, run.apply(transport, todo, AIM, watch(heard, **changes))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_run_is_one_command_and_its_log_arrives_as_events(chunk: int) -> None:
    heard: list[Event] = []
    machine = Machine(fit(), log=LOG)
    transport, outcome = apply(machine, heard, chunk)
    assert transport.channels == 1
    assert [event.kind for event in heard] == ["release", "phase", "output", "up", "healthy", "healthy", "exit"]
    assert outcome.code == 0
    assert machine.texts == [script.start("/opt/small", "r1")]
    archive = members(machine.started[0])
    assert archive["script"].decode() == script.script(run.propose_bare(AIM), templates())
    assert archive["holder"] == b"me@here, since 2023-11-14 22:13:20 UTC, deploy h1\n"


class Flaky:
    """A host whose connection ends where it is told to: after `ends[n]` bytes of the log, at the n-th command."""

    def __init__(self, ends: list[int]) -> None:
        self.ends = ends
        self.texts: list[str] = []

    def run(self, command: str, *, stdin: bytes = b"", timeout: float | None = None, on_stdout: Any = None) -> Result:
        text = sent(command)
        self.texts.append(text)
        offset = int(text.split("tail -c +")[1].split(" ")[0]) - 1
        end = self.ends.pop(0) if self.ends else len(LOG)
        if on_stdout and end > offset:
            on_stdout(LOG[offset:end])
        if end >= len(LOG):
            return Result(0, b"", b"")
        raise ConnectionLost("the connection to h1 was lost")


BREAKS = [[0], [5], [len(LOG) - 1], [12, 12, 12], [3, 30, 31, 60], list(range(1, len(LOG), 3))]


@pytest.mark.parametrize("ends", BREAKS, ids=str)
def test_a_lost_connection_loses_no_line_and_brings_none_twice(ends: list[int]) -> None:
    whole: list[Event] = []
    apply(Machine(fit(), log=LOG), whole)
    heard: list[Event] = []
    host = Flaky(list(ends))
    run.apply(host, run.propose_bare(AIM), AIM, watch(heard))  # type: ignore[arg-type]
    assert heard == whole
    assert len(host.texts) == len(ends) + 1
    assert all("tar -x" not in text for text in host.texts[1:]), "the run is followed, not started again"
    last = LOG.rfind(b"\n", 0, max(ends)) + 1
    assert host.texts[-1] == script.follow("/opt/small", "r1", last), "from the last whole line on"


def test_a_run_that_cannot_be_reached_any_more() -> None:
    heard: list[Event] = []
    with pytest.raises(ConnectionLost) as caught:
        run.apply(Flaky([0] * 1000), run.propose_bare(AIM), AIM, watch(heard))  # type: ignore[arg-type]
    assert "may still be at work on h1" in caught.value.message
    assert "ctl attach h1" in caught.value.hint


def test_a_run_that_never_began_is_started_once_more() -> None:
    begun: list[str] = []

    def answer(command: str, stdin: bytes) -> Result | Exception:
        text = sent(command)
        if "tar -x" not in text:
            return Result(script.ABSENT, b"", b"")
        begun.append(text)
        return ConnectionLost("lost while sending") if len(begun) == 1 else Result(0, LOG, b"")

    heard: list[Event] = []
    _, outcome = apply(answer, heard)
    assert (len(begun), outcome.code) == (2, 0)


def test_what_only_reads_is_asked_again_when_the_connection_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", naps.append)
    machine, losses = (
        Machine(settled(SMALL)),
        [ConnectionLost("gone"), ConnectFailed("refused"), ConnectionLost("gone")],
    )

    def answer(command: str, stdin: bytes) -> Result | Exception:
        return losses.pop(0) if losses else machine(command, stdin)

    assert not run.propose(FakeTransport(answer), AIM)
    assert len(naps) == 3


def test_a_host_that_never_answered_is_not_asked_again() -> None:
    asked: list[str] = []

    def answer(command: str, stdin: bytes) -> Exception:
        asked.append(command)
        return ConnectFailed("refused")

    with pytest.raises(ConnectFailed):
        run.propose(FakeTransport(answer), AIM)
    assert len(asked) == 1


def test_what_followed_the_log_was_ended_but_not_the_run() -> None:
    """sshd goes down for a restart: tail is killed, and the connection stands until the answer is here."""
    answers = [Result(255, LOG[:12], b""), Result(255, LOG[12:20], b""), Result(0, LOG[12:], b"")]
    heard: list[Event] = []
    _, outcome = apply(lambda command, stdin: answers.pop(0), heard)
    assert (outcome.code, answers) == (0, [])


def test_a_detached_start_that_was_lost_is_sent_again_and_not_followed() -> None:
    texts: list[str] = []

    def answer(command: str, stdin: bytes) -> Result | Exception:
        texts.append(sent(command))
        return ConnectionLost("lost while sending") if len(texts) == 1 else Result(0, b"", b"")

    apply(answer, [], detach=True)
    assert texts == [script.start("/opt/small", "r1", follow=False)] * 2


def test_patience_begins_anew_when_something_was_heard() -> None:
    """A line that breaks again and again, but lets something through each time."""
    log = b"".join(b"| line %d\n" % number for number in range(200)) + b"@ exit 0\n"

    def answer(command: str, stdin: bytes) -> Result | Exception:
        offset = int(sent(command).split("tail -c +")[1].split(" ")[0]) - 1
        end = log.index(b"\n", offset) + 1
        return Result(0 if end == len(log) else 255, log[offset:end], b"")

    heard: list[Event] = []
    _, outcome = apply(answer, heard)
    assert (outcome.code, len(heard)) == (0, 201)


def test_a_full_disk_is_named() -> None:
    said = b"tar: release/images: Cannot write: No space left on device\ntar: Exiting with failure status\n"
    with pytest.raises(HostUnfit, match="there is no space left on h1: tar: release/images"):
        apply([("sh -c", Result(1, b"", said))], [])


FAILED_RUNS = [
    (b"@ release r\n", 0, RunFailed, "the run r1 on h1 ended without a result"),
    (b"@ release r\n", script.DIED, RunFailed, "the run r1 on h1 ended without a result"),
    (
        b"@ step s/a\n| no space\n@ fail step s/a 1\n@ exit 1\n",
        0,
        RunFailed,
        "the step s/a failed on h1, which said last",
    ),
    (b"@ up app\n@ unhealthy app starting\n@ exit 6\n", 0, Unhealthy, "app did not become healthy on h1"),
    (b"@ locked you\n@ exit 4\n", 0, Locked, "another run is at work on h1: you"),
    (b"@ overtaken you\n@ exit 4\n", 0, Locked, "another run has changed h1 since this was planned: you"),
]


@pytest.mark.parametrize(
    ("log", "code", "kind", "message"), FAILED_RUNS, ids=[f"{row[3]} {row[1]}" for row in FAILED_RUNS]
)
def test_how_a_run_ends_badly(log: bytes, code: int, kind: type[CtlError], message: str) -> None:
    def answer(command: str, stdin: bytes) -> Result:
        offset = int(sent(command).split("tail -c +")[1].split(" ")[0]) - 1
        return Result(code, log[offset:], b"")

    with pytest.raises(kind) as caught:
        apply(answer, [])
    assert caught.value.message.startswith(message)


def test_a_host_that_refuses_the_run() -> None:
    with pytest.raises(HostUnfit, match="sudo on h1 wants a password"):
        apply([("sh -c", Result(1, b"", b"sudo: a password is required"))], [])


def test_a_locked_host_is_left_alone() -> None:
    transport = FakeTransport()
    todo = replace(run.propose_bare(AIM), facts=fit(locked=True, lock="me@there, deploy h1"))
    with pytest.raises(Locked, match="another run is at work on h1: me@there, deploy h1"):
        run.apply(transport, todo, AIM, watch([]))
    assert transport.channels == 0


@pytest.mark.parametrize("log", [b"@ locked you\n@ exit 4\n", b"@ overtaken you\n@ exit 4\n"], ids=str)
def test_another_run_was_quicker(log: bytes) -> None:
    """Who has time to wait plans anew, and applies that under another name; who has none is told."""
    machine = Machine(fit())

    def answer(command: str, stdin: bytes) -> Result | Exception:
        machine.log = log if not machine.started else LOG
        return machine(command, stdin)

    todo = run.propose_bare(AIM)
    outcome = run.bring(FakeTransport(answer), todo, AIM, watch([]), rollback=True, wait=60)
    assert (outcome.code, outcome.run) == (0, "r1-again")
    assert [text for text in machine.texts if "tar -xzf" in text] == [
        script.start("/opt/small", name) for name in ("r1", "r1-again")
    ]
    machine.started = []
    with pytest.raises(Locked):
        run.bring(FakeTransport(answer), todo, AIM, watch([]), rollback=True)
    machine.started, machine.facts = [], settled(SMALL)
    assert run.bring(FakeTransport(answer), todo, AIM, watch([]), rollback=True, wait=60).code == 0
    assert len(machine.started) == 1, "the other one has done the same"


def test_a_detached_run_is_not_followed() -> None:
    machine = Machine(fit(), log=b"")
    transport, outcome = apply(machine, [], detach=True)
    assert (transport.channels, outcome.code) == (1, None)
    assert "tail" not in machine.texts[0]


def test_one_hosts_error_stops_no_other() -> None:
    def fails() -> int:
        raise RunFailed("no")

    results = run.each([lambda: 1, fails, lambda: 3])
    assert (results[0], results[2]) == (1, 3)
    assert isinstance(results[1], RunFailed)
    assert isinstance(run.each([fails])[0], RunFailed)
