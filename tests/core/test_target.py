"""What may stand where a target is wanted, and that nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.core.errors import InvalidTarget
from ctl.core.target import LOCAL, Target, is_address, parse_target

GOOD = {
    "local": LOCAL,
    "lab": Target("name", name="lab"),
    "prod-1": Target("name", name="prod-1"),
    "Local": Target("name", name="Local"),
    "10.0.0.1": Target("name", name="10.0.0.1"),
    "ubuntu@203.0.113.10": Target("ssh", user="ubuntu", address="203.0.113.10"),
    "ubuntu@203.0.113.10:2222": Target("ssh", user="ubuntu", address="203.0.113.10", port=2222),
    "root@my_alias": Target("ssh", user="root", address="my_alias"),
    "first.last@a-b.example.com:1": Target("ssh", user="first.last", address="a-b.example.com", port=1),
    "u@[2001:db8::1]": Target("ssh", user="u", address="2001:db8::1"),
    "u@[::1]:65535": Target("ssh", user="u", address="::1", port=65535),
}

BAD = [
    "",
    " ",
    "-oProxyCommand=x",
    "-oProxyCommand=x@host",
    "u@-oProxyCommand=x",
    "a@b@c",
    "@host",
    "user@",
    "user@:22",
    "ssh://x",
    "ssh://u@x",
    "h;ls",
    "u@h;ls",
    "u@$(ls)",
    "u@`ls`",
    "u@h|ls",
    "u@h/x",
    "u@h\\x",
    "u@h%h",
    "host:22",
    "../../etc/passwd",
    ".hidden",
    "u@a b",
    " u@h",
    "u@h ",
    "u@h\n",
    "prod\n",
    "local\n",
    "u\n@h",
    "u@h\x00",
    "u@h\x1b[31m",
    "u@h:",
    "u@h:0",
    "u@h:022",
    "u@h:70000",
    "u@h:-1",
    "u@h:+1",
    "u@h:ssh",
    "u@h:22:22",
    "u@h:２２",
    "u@h:22\n",
    "u@::1",
    "u@[::1",
    "u@::1]",
    "u@[]",
    "u@[h]",
    "u@[::1]x",
    "u@[::1]:",
    "u@[fe80::1%eth0]",
    "u@999.1.1.1",
    "u@10.1",
    "u@a..b",
    "u@.a",
    "u@a.",
    "u@a-",
    "u@" + "a" * 64,
    "u@" + ".".join(["abcdefg"] * 40),
    "u" * 65 + "@h",
    "ü@h",
    "u@höst",
    "a" * 254,
    "a" * 100_000,
]


@pytest.mark.parametrize(("text", "target"), GOOD.items())
def test_reads(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert str(target) == text


@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text)[:40])
def test_refuses(text: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        parse_target(text)
    assert caught.value.exit_code == 2
    assert "user@" in caught.value.hint or "u@[" in caught.value.hint
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_bare_ipv6_is_told_about_brackets() -> None:
    with pytest.raises(InvalidTarget) as caught:
        parse_target("admin@2001:db8::7")
    assert caught.value.hint == "write admin@[2001:db8::1]:22"


def test_ipv6_is_written_one_way() -> None:
    assert str(parse_target("u@[2001:DB8:0::0001]:22")) == "u@[2001:db8::1]:22"


@pytest.mark.parametrize("text", ["::1", "2001:db8::1", "127.0.0.1", "a.b", "alias"])
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["", "-a", "[::1]", "::1%eth0", "a b", "a\n", "1.2.3", "a;b", "u@h"])
def test_no_addresses(text: str) -> None:
    assert not is_address(text)


pieces = st.sampled_from(["u", "root", "@", ":", "[", "]", "::1", "22", "0", "host", ".", "-", "\n", " ", "%", "local"])


@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=8).map("".join)))
def test_any_text_is_read_or_refused_and_survives_the_round_trip(text: str) -> None:
    try:
        target = parse_target(text)
    except InvalidTarget:
        return
    assert str(target).isprintable()
    assert str(target).isascii()
    assert " " not in str(target)
    assert parse_target(str(target)) == target


users = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
hosts = st.one_of(
    st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{1,8}){0,3}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
)
ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))


@given(users, hosts, ports)
def test_every_well_formed_target_is_read_and_written_back_as_it_was(user: str, host: str, port: str) -> None:
    text = f"{user}@{host}{port}"
    assert str(parse_target(text)) == text
