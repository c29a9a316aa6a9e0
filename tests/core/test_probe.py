from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from samples import fit, probe_output, release, settled

from ctl.core.errors import HostUnfit
from ctl.core.probe import MAX_BYTES, Cards, ContainerFact, Facts, FileFact, UnitFact, clean, parse

WHOLE = settled(
    release(),
    lock="me since noon",
    locked=True,
    os_like="debian",
    missing_tools=("flock",),
    units={"small.target": UnitFact("active", "active", "enabled")},
    externals={"ollama": "200"},
    certificates={"app.localhost": "MIIB" * 500, "other.localhost": ""},
    refused="too many",
    secrets={"KEY": "0123"},
    last="0123 6",
    memory_free=1,
    listeners=(("0.0.0.0", 443, "nginx"), ("*", 80, "")),
    neighbours=(("blog", "blog-web-1", "0.0.0.0:80->80/tcp, [::]:80->80/tcp"),),
    routes=(("default", "eth0"),),
    cards=Cards(("0000:01:00.0",), "550.54.14", ("NVIDIA L4",), given=True),
)
OUTPUT = probe_output(WHOLE)


def test_what_the_probe_prints_is_read_back() -> None:
    assert parse(OUTPUT) == WHOLE
    unset = {field.name for field in fields(Facts) if getattr(WHOLE, field.name) == field.default}
    assert unset == set(), "every fact is in the example"


def test_a_bare_host() -> None:
    assert parse(probe_output(fit())) == fit()


def test_login_files_may_print_before_it() -> None:
    assert parse(b"Welcome!\n\xff\x1b[2J\nend\nos\tfoo\n" + OUTPUT) == WHOLE


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 2 hours (healthy)", "healthy"),
        ("Up 2 hours (unhealthy)", "unhealthy"),
        ("Up 3 seconds (health: starting)", "starting"),
        ("Up 2 hours", ""),
        ("Exited (0) 3 minutes ago", ""),
        ("", ""),
    ],
)
def test_the_health_of_a_container(status: str, health: str) -> None:
    line = f"container\tid\tapp\trunning\t{status}\tf1\tapp:1\tapp"
    read = parse(f"ctl-probe\t1\n{line}\nend\n".encode())
    assert read.containers == (ContainerFact("id", "app", "running", health, "f1", "app:1", "app", status),)


@pytest.mark.parametrize("cut", [0, 5, len(OUTPUT) // 2, len(OUTPUT) - 5])
def test_half_an_answer_is_none(cut: int) -> None:
    with pytest.raises(HostUnfit, match="did not answer the probe"):
        parse(OUTPUT[:cut])


def test_an_answer_that_does_not_end_is_none() -> None:
    with pytest.raises(HostUnfit, match="far too long"):
        parse(OUTPUT + b"x" * MAX_BYTES)


@pytest.mark.parametrize(
    "line",
    [
        "sha",
        "sha\tx",
        "mode\tx\ty\tz",
        "applied",
        "container\tid",
        "unit\tx",
        "check",
        "stamp",
        "external",
        "\t\t",
        "os",
    ],
)
def test_broken_lines_are_no_facts(line: str) -> None:
    assert parse(f"ctl-probe\t1\n{line}\nend\n".encode()) == Facts()


def test_numbers_that_are_none_are_zero() -> None:
    read = parse("ctl-probe\t1\nmemory\t²\t-5\ndisk\t1e9\t\ntime\tnoon\nsha\tx\t/a\nmode\t999\tr:r\t/a\nend\n".encode())
    assert (read.memory, read.memory_free, read.disk, read.disk_free, read.time) == (0, 0, 0, 0, 0)
    assert read.files == {"/a": FileFact("x", 0, "r:r")}
    assert parse(f"ctl-probe\t1\nmemory\t{'9' * 5000}\nend\n".encode()).memory == 0


ESCAPES = "\x1b]0;title\x07\x1b[31m\x9b5m\x7f\x00\r"


def test_no_escape_reaches_the_facts() -> None:
    hostile = replace(
        WHOLE,
        os_name=f"Debian{ESCAPES}",
        lock=f"me{ESCAPES}",
        containers=tuple(replace(each, state=f"run{ESCAPES}", image=ESCAPES) for each in WHOLE.containers),
    )
    shown = repr(parse(probe_output(hostile)))
    assert not any(repr(letter)[1:-1] in shown for letter in "\x1b\x07\x9b\x7f\x00")
    assert clean(f"a{ESCAPES}b\u202ec") == "a]0;title[31m5mbc"


def test_long_words_are_cut() -> None:
    assert len(parse(probe_output(replace(WHOLE, os_name="x" * 5000))).os_name) == 2001


def lines(words: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(words).map(lambda drawn: b"ctl-probe\t1\n" + b"".join(drawn) + b"\nend\n")


KINDS = [line.split(b"\t")[0] for line in OUTPUT.splitlines()]


@given(
    st.one_of(
        st.binary(),
        lines(st.binary(max_size=20)),
        lines(st.sampled_from([*KINDS, b"\t", b"\n", b"7", b"x", b"\xff", b"-1"])),
        st.tuples(st.integers(0, len(OUTPUT)), st.binary(max_size=9)).map(
            lambda drawn: OUTPUT[: drawn[0]] + drawn[1] + OUTPUT[drawn[0] + len(drawn[1]) :]
        ),
    )
)
@example(b"ctl-probe\t1\nend")
@example(b"end\nctl-probe\t1\n")
def test_any_answer_is_read_or_refused(output: bytes) -> None:
    try:
        assert isinstance(parse(output), Facts)
    except HostUnfit:
        pass
