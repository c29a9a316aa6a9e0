from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.core.errors import CtlError, Locked, RunFailed, Unhealthy
from ctl.core.report import MAX_LINE, Event, Log, Outcome, read_line

LOG = """\
@ release 79ae4a474669
@ phase 1-setup
@ step 1-setup/20-docker
| Reading package lists…
| @ exit 0
@ done 1-setup/20-docker 12
@ phase 2-deploy
@ put /opt/x/stacks/n8n/compose.yaml
@ up n8n
|  Container n8n  Started
@ healthy n8n
@ exit 0
""".encode()


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"@ exit 0", Event("exit", ("0",), "exit 0")),
        (b"@ done 1-setup/10-a 3", Event("done", ("1-setup/10-a", "3"), "done 1-setup/10-a 3")),
        (b"@ locked", Event("locked", (), "locked")),
        (b"@ locked me since noon", Event("locked", ("me", "since", "noon"), "locked me since noon")),
        (b"| @ exit 0", Event("output", text="@ exit 0")),
        (b"| said", Event("output", text="said")),
        (b"said", Event("output", text="said")),
        (b"@ unheard of", Event("output", text="@ unheard of")),
        (b"@ done", Event("output", text="@ done")),
        (b"@ done 1-setup/10-a", Event("output", text="@ done 1-setup/10-a")),
        (b"@ exit", Event("output", text="@ exit")),
        (b"@", Event("output", text="@")),
        (b"", Event("output", text="")),
        (b"\x1b[31mred\x07\xff", Event("output", text="[31mred�")),
        (b"| " + b"x" * 5000, Event("output", text="x" * 1998 + "…")),
    ],
)
def test_a_line_is_an_event_or_output(line: bytes, event: Event) -> None:
    assert read_line(line) == event


def in_chunks(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


LOGS = st.one_of(st.just(LOG), st.binary(max_size=300), st.lists(st.binary(max_size=9)).map(b"\n".join))


@given(LOGS, st.lists(st.integers(0, 1000)))
def test_events_do_not_depend_on_how_the_bytes_arrive(text: bytes, cuts: list[int]) -> None:
    whole, pieces = Log(), Log()
    expected = list(whole.feed(text))
    assert [event for chunk in in_chunks(text, cuts) for event in pieces.feed(chunk)] == expected
    assert pieces.seen == whole.seen == text.rfind(b"\n") + 1


@given(LOGS, st.lists(st.integers(0, 1000), max_size=6))
def test_after_a_break_no_line_is_lost_and_none_comes_twice(text: bytes, breaks: list[int]) -> None:
    """A connection ends after some bytes; the next one sends the log from `seen` on."""
    log = Log()
    events: list[Event] = []
    for length in breaks:
        events += log.feed(text[log.seen :][: length % (len(text) + 1)])
        log.broken()
    events += log.feed(text[log.seen :])
    assert events == list(Log().feed(text))


def outcome(log: bytes) -> Outcome:
    result = Outcome(run="r1")
    for event in Log().feed(log):
        result.take(event)
    return result


def test_a_run_that_went_through() -> None:
    result = outcome(LOG)
    assert (result.code, result.done, result.failed, result.unhealthy) == (0, ["1-setup/20-docker"], "", {})
    result.raise_for_failure("h1")


FAILURES = [
    (b"", RunFailed, "the run r1 on h1 ended without a result"),
    (
        b"@ step 1-setup/10-a\n| E: no space\n@ fail step 1-setup/10-a 100\n@ exit 1\n",
        RunFailed,
        "the step 1-setup/10-a",
    ),
    (b"@ step s/a\n@ fail check s/a\n@ exit 1\n", RunFailed, "the check after the step s/a failed on h1"),
    (b"@ pull app:1\n| denied\n@ fail pull app:1\n@ exit 1\n", RunFailed, "the pull of app:1 failed on h1"),
    (b"@ fail put /etc/x\n@ exit 1\n", RunFailed, "the writing of /etc/x failed on h1"),
    (
        b"@ up app db\n@ healthy db\n@ unhealthy app starting\n| panic\n@ exit 6\n",
        Unhealthy,
        "app did not become healthy",
    ),
    (
        b"@ unhealthy app exited\n| panic\n@ unhealthy db unhealthy\n| no space\n@ exit 6\n",
        Unhealthy,
        "app, db did not become healthy on h1\napp said last:\n    panic\ndb said last:\n    no space",
    ),
    (b"@ locked me since noon\n@ exit 4\n", Locked, "another run is at work on h1: me since noon"),
    (b"@ locked\n@ exit 4\n", Locked, "another run is at work on h1"),
    (b"@ exit 137\n", RunFailed, "the run r1 on h1 ended without a result"),
    ("@ exit ²\n".encode(), RunFailed, "the run r1 on h1 ended without a result"),
    (b"@ exit " + b"0" * 5000 + b"\n", RunFailed, "the run r1 on h1 ended without a result"),
    (b"@ exit -0\n", RunFailed, "the run r1 on h1 ended without a result"),
]


@pytest.mark.parametrize(("log", "kind", "message"), FAILURES, ids=[message for _, _, message in FAILURES])
def test_what_a_failure_says(log: bytes, kind: type[CtlError], message: str) -> None:
    with pytest.raises(kind) as caught:
        outcome(log).raise_for_failure("h1")
    assert caught.value.message.startswith(message)
    assert caught.value.hint
    said = [line[2:].decode() for line in log.splitlines() if line.startswith(b"| ")]
    assert all(line in caught.value.message for line in said), "what was said last belongs to the message"


def test_only_the_end_of_what_was_said_is_told() -> None:
    log = b"@ step s/a\n" + b"".join(b"| line %d\n" % n for n in range(100)) + b"@ fail step s/a 1\n@ exit 1\n"
    with pytest.raises(RunFailed) as caught:
        outcome(log).raise_for_failure("h1")
    assert "line 99" in caught.value.message
    assert "line 80" not in caught.value.message


@given(st.lists(st.sampled_from([*b"@ |0\n", *LOG])).map(bytes) | st.binary())
def test_any_log_comes_to_a_result_or_an_error_of_ours(log: bytes) -> None:
    try:
        outcome(log).raise_for_failure("h1")
    except CtlError:
        pass


@given(st.lists(st.tuples(st.sampled_from(["done", "exit", "fail", "unhealthy", "locked", "step", "put"]), st.text())))
def test_any_event_can_be_taken(lines: list[tuple[str, str]]) -> None:
    outcome("".join(f"@ {kind}{rest}\n" for kind, rest in lines).encode("utf-8", "replace"))


def test_a_line_without_an_end_is_not_kept_in_memory() -> None:
    log = Log()
    for _ in range(40):
        assert list(log.feed(b"x" * 65536)) == []
    assert log.seen + len(log._rest) == 40 * 65536
    assert len(log._rest) <= MAX_LINE
    assert [event.kind for event in log.feed(b"@ exit 0\n@ exit 1\n")] == ["output", "exit"]


def test_what_failed_and_could_is_kept_in_its_own_words() -> None:
    log = b"@ step 3-c/1\n| before\n@ done 3-c/1 1\n@ step 3-c/2\n| why\n| and what now\n@ warn 3-c/2\n"
    result = outcome(log + b"@ step 3-c/3\n| after\n@ exit 0\n")
    assert (result.code, result.warnings) == (0, ["why\nand what now"])
    result.raise_for_failure("h1")
