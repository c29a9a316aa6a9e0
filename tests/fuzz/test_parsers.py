"""Whatever a file or a host holds: a value or a documented error, soon; never a traceback, never a hang."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from targets import SEEDS, TARGETS

PIECES = [
    *(b"\0", b"\x1b[31m", b"\xff", b"\xc3", b"\t", b"\n", b"\r\n", b" ", b"  ", b"'", b'"', b"\\", b"$", b"#", b"-"),
    *(b": ", b"- ", b"{", b"}", b"[", b"]", b"*a", b"&a ", b"<<: ", b"!!str ", b"---\n", b"...\n", b"|\n", b"? ", b"%"),
    *(b"null", b"true", b"on", b"0", b"-1", b"1e999", b"0777", b"99999999999999999999", b"22:22", b".nan", b"\\ud800"),
    *(b"x-ctl:\n", b"{{ x }}", b"@ ", b"@ exit 999999999999\n", b"| ", b"end\n", b"ctl-probe\t1\n", b"=", b"NAME='"),
]
CHUNKS = st.one_of(st.sampled_from(PIECES), st.binary(max_size=12), st.text(max_size=8).map(lambda text: text.encode()))


def soon(name: str, data: bytes) -> None:
    """In seconds of the processor: a machine that is busy with something else is no hang."""
    began = time.process_time()
    TARGETS[name](data)
    assert time.process_time() - began < 60, data[:40]


@st.composite
def bent(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A good example with a few places cut out, doubled, or filled with something else."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 12)))
        middle = draw(st.one_of(CHUNKS, st.just(data[start:stop] * 2), st.just(b"")))
        data = data[:start] + middle + data[stop:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_bent_examples(name: str) -> None:
    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bent(SEEDS[name]))
    def answers(data: bytes) -> None:
        soon(name, data)

    answers()


@pytest.mark.parametrize("name", TARGETS)
def test_noise(name: str) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(CHUNKS, max_size=30).map(b"".join))
    @example(b"")
    @example(b"\0" * 1000)
    def answers(data: bytes) -> None:
        soon(name, data)

    answers()


LARGE = [
    b"a" * 3_000_000,
    b"\n" * 1_000_000,
    b"[" * 100_000,
    b"- " * 100_000,
    b"{a: " * 50_000,
    b"'" * 200_001,
    b'A="' + b"\\" * 500_001,
    b"a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c]\n",
    b"\xff" * 500_000,
    b"@ put /x\n" * 100_000,
    b"sha\tabc\t/x\n" * 100_000,
    b"x-ctl:\n" + b" \n" * 100_000,
    b"#" * 500_000,
    b"1" * 100_000,
]


@pytest.mark.parametrize("name", TARGETS)
def test_large_and_deep_ones_end_soon(name: str) -> None:
    for data in LARGE:
        soon(name, data)
