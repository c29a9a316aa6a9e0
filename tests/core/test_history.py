from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import fit, release

from ctl.core.errors import CtlError, UsageError
from ctl.core.history import About, History, PastRun, moment, parse_history, summary
from ctl.core.plan import plan


def about(release: str) -> About:
    return About(release=release, previous="", command="ctl deploy h1", who="me@here", started=0, changes=("2 files",))


def run(name: str, release: str, code: int | None) -> PastRun:
    return PastRun(name, code, about(release))


def test_what_the_host_tells_is_read() -> None:
    lines = [
        "current\tr2",
        "settled\t1700000000\tr1\trun1",
        "settled\t1700000001\tr2\trun2",
        f"run\trun1\t0\t{about('r1').encode().decode()}",
        f"run\trun2\t\t{about('r2').encode().decode()}",
        f"run\trun3\t²\t{about('r3').encode().decode()}",
        "run\tbroken\t0\t{",
        f"run\tlate\t0\t{about('r1').encode().decode().replace(':0', ':99999999999999')}",
        "release\tr1",
        "release\tr2",
        "end",
    ]
    found = parse_history("\n".join(lines).encode())
    assert found.current == "r2"
    assert found.runs == (run("run1", "r1", 0), run("run2", "r2", None), run("run3", "r3", None))
    assert found.settled == ("r1", "r2")
    assert found.kept == {"r1", "r2"}


def test_half_a_history_is_none() -> None:
    with pytest.raises(CtlError, match="did not arrive whole"):
        parse_history(b"current\tr2\n")


@given(
    st.one_of(
        st.binary(), st.lists(st.sampled_from([b"run", b"\t", b"settled", b"\n", b"{}", b"end", b"9"])).map(b"".join)
    )
)
def test_any_answer_is_read_or_refused(output: bytes) -> None:
    try:
        parse_history(output)
    except CtlError:
        pass


@pytest.mark.parametrize(
    ("runs", "current", "settled", "kept", "back"),
    [
        ((run("1", "r1", 0), run("2", "r2", 0)), "r2", ("r1", "r2"), {"r1", "r2"}, "r1"),
        ((run("1", "r1", 0), run("2", "r2", 1)), "r1", ("r1",), {"r1", "r2"}, "r1"),
        ((run("1", "r1", 0), run("2", "r2", 0), run("3", "r3", 0)), "r3", ("r1", "r2", "r3"), {"r1", "r3"}, "r1"),
        ((run("1", "r1", 0),), "r1", ("r1",), {"r1"}, None),
        ((), "", (), set(), None),
    ],
)
def test_the_way_back(
    runs: tuple[PastRun, ...], current: str, settled: tuple[str, ...], kept: set[str], back: str | None
) -> None:
    history = History(current, runs, settled, frozenset(kept))
    if back is None:
        with pytest.raises(UsageError, match="there is no earlier release"):
            history.way_back()
    else:
        assert history.way_back() == back


def test_a_release_by_its_beginning() -> None:
    history = History("", (), (), frozenset({"abc1", "abd2"}))
    assert history.find("abc") == "abc1"
    for word, problem in (("ab", "may be abc1 or abd2"), ("x", "is not kept on this host")):
        with pytest.raises(UsageError, match=problem):
            history.find(word)


def test_the_summary_of_a_plan_and_who_holds_the_lock() -> None:
    words = summary(plan(release(), fit()))
    assert words[0] == "2 files"
    assert "create app" in words
    assert moment(1700000000) == "2023-11-14 22:13:20 UTC"
    assert about("r1").holder == "me@here, since 1970-01-01 00:00:00 UTC, ctl deploy h1\n"
