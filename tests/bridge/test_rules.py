"""The bridge's pure rules: the order of the ways, when to try again, close codes, addresses, words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.bridge import order
from ctl.bridge.closing import meaning
from ctl.bridge.frames import Close
from ctl.bridge.near import is_loopback, is_near, of_this_machine, passes
from ctl.bridge.order import Event, State, Way, Wish, after, in_use, wanted
from ctl.bridge.reaching import address
from ctl.bridge.retry import delay
from ctl.bridge.wording import Status, rows, size, span
from ctl.core.errors import UsageError

HERE, AWAY, ON, FAILED, LEFT, UP, DOWN = Event
PLAIN, LOCAL, NGROK, BOTH = Wish(), Wish(True), Wish(tunnel=True), Wish(True, True)


@pytest.mark.parametrize(
    ("wish", "events", "way", "cloud", "tunnel"),
    [
        # nothing is known yet: the cloud is tried, whatever is preferred
        (PLAIN, [], Way.NONE, True, False),
        (LOCAL, [], Way.NONE, True, False),
        # 1: the local server, if it is preferred and answers
        (LOCAL, [HERE], Way.LOCAL, False, False),
        (BOTH, [HERE, FAILED, FAILED, FAILED], Way.LOCAL, False, False),
        # and the cloud when it stops answering, until it is back
        (LOCAL, [HERE, AWAY], Way.NONE, True, False),
        (LOCAL, [HERE, AWAY, ON], Way.CLOUD, True, False),
        (LOCAL, [HERE, AWAY, ON, HERE], Way.LOCAL, False, False),
        # 2: the cloud
        (PLAIN, [HERE, ON], Way.CLOUD, True, False),
        (PLAIN, [ON], Way.CLOUD, True, False),
        (NGROK, [HERE, ON], Way.CLOUD, True, False),
        # 4: the local server again, as long as nothing else is there
        (PLAIN, [HERE], Way.LOCAL, True, False),
        (PLAIN, [HERE, ON, FAILED], Way.LOCAL, True, False),
        (PLAIN, [HERE] + [FAILED] * 9, Way.LOCAL, True, False),
        (NGROK, [HERE, FAILED, FAILED], Way.LOCAL, True, False),
        # 3: the tunnel when the cloud cannot be had; the cloud is tried on
        (NGROK, [HERE, FAILED, FAILED, FAILED], Way.LOCAL, True, True),
        (NGROK, [HERE, FAILED, FAILED, FAILED, UP], Way.TUNNEL, True, True),
        (NGROK, [HERE, FAILED, FAILED, FAILED, UP, FAILED], Way.TUNNEL, True, True),
        (NGROK, [FAILED, FAILED, FAILED, UP], Way.TUNNEL, True, True),
        # the tunnel is lost: local again
        (NGROK, [HERE, FAILED, FAILED, FAILED, UP, DOWN], Way.LOCAL, True, True),
        # the cloud is back: the tunnel goes
        (NGROK, [HERE, FAILED, FAILED, FAILED, UP, ON], Way.CLOUD, True, False),
        (NGROK, [HERE, FAILED, FAILED, FAILED, UP, ON, DOWN], Way.CLOUD, True, False),
        # had for a while and lost: patience begins anew
        (NGROK, [HERE, FAILED, FAILED, FAILED, UP, ON, DOWN, LEFT], Way.LOCAL, True, False),
        # had for a moment only, again and again: that is not having it
        (NGROK, [HERE, ON, FAILED, ON, FAILED, ON, FAILED], Way.LOCAL, True, True),
        # the preferred local server comes back while the tunnel is open
        (BOTH, [FAILED, FAILED, FAILED, UP, HERE], Way.LOCAL, False, False),
    ],
)
def test_the_order(wish: Wish, events: list[Event], way: Way, cloud: bool, tunnel: bool) -> None:
    state = State()
    for event in events:
        state = after(state, event)
    assert in_use(wish, state) is way
    assert wanted(wish, state) == order.Wanted(cloud, tunnel)


@given(
    st.builds(Wish, st.booleans(), st.booleans(), st.integers(1, 5)),
    st.lists(st.sampled_from(Event), max_size=30),
)
def test_what_always_holds(wish: Wish, events: list[Event]) -> None:
    state = State()
    for event in events:
        state = after(state, event)
        want, way = wanted(wish, state), in_use(wish, state)
        assert not want.tunnel or (wish.tunnel and want.cloud and not state.cloud)
        assert want.cloud or way is Way.LOCAL  # nothing is left untried while something better could be had
        assert (way is Way.NONE) == (not (state.local or state.cloud or state.tunnel))


def test_waits_double_with_jitter_up_to_a_minute() -> None:
    assert [delay(n, 0) for n in (0, 1, 2, 3, 7, 1000)] == [0.5, 0.5, 1, 2, 30, 30]
    assert delay(7, 0.999) == pytest.approx(60, abs=0.1)
    assert delay(1, 0, at_least=20) == 20  # Retry-After
    assert delay(1, 0, at_least=1e9) == 600


def test_every_close_code_has_a_message_of_its_own() -> None:
    messages = [meaning(code).message for code in Close]
    assert len(set(messages)) == len(messages)
    assert [code for code in Close if meaning(code).final] == [Close.REPLACED]
    assert meaning(1000).ended and meaning(Close.GOING_AWAY).ended
    assert meaning(None) == meaning(1006) and not meaning(None).ended
    assert "4999" in meaning(4999).message


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/api/chat", True),
        ("GET", "/v1/models?x=/../y", True),
        ("PUT", "/api/chat", False),
        ("GET", "/", False),
        ("GET", "/metrics", False),
        ("GET", "/api/../metrics", False),
        ("GET", "/api/%2e%2e/metrics", False),
        ("GET", "/api/%252e%252e/x", False),
        ("GET", "http://elsewhere/api/tags", False),
        ("GET", "//elsewhere/api/", False),
        ("GET", "/api/a b", False),
        ("GET", "/api/\r\nX: y", False),
    ],
)
def test_what_passes(method: str, path: str, expected: bool) -> None:
    assert passes(method, path) is expected


def test_hosts_that_are_near() -> None:
    assert all(map(is_loopback, ("localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, (None, "", "192.168.1.1", "localhost.example.com", "example.com")))
    assert all(map(is_near, ("localhost", "192.168.1.1", "10.0.0.1", "fd00::1")))
    assert not any(map(is_near, (None, "203.0.113.1" * 2, "8.8.8.8", "example.com")))


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:11435", "", True),
        ("127.0.0.1:11435", "http://localhost:3000", True),
        ("[::1]:11435", "", True),
        ("127.0.0.1:11435", "https://evil.example", False),
        ("127.0.0.1:11435", "null", False),
        ("evil.example:11435", "", False),
        ("", "", False),
        ("[", "", False),
    ],
)
def test_no_page_of_the_web_comes_in_at_the_local_door(host: str, origin: str, expected: bool) -> None:
    assert of_this_machine(host, origin) is expected


@pytest.mark.parametrize(
    ("text", "near", "expected"),
    [
        ("ai.example.com", False, "https://ai.example.com"),
        ("https://ai.example.com:8443/", False, "https://ai.example.com:8443"),
        ("http://localhost:8000", False, "http://localhost:8000"),
        ("http://192.168.1.5:11434", True, "http://192.168.1.5:11434"),
        ("http://192.168.1.5", False, "not encrypted"),
        ("http://ai.example.com", True, "not encrypted"),
        ("https://ai.example.com/v1", False, "has a path"),
        ("https://me:secret@ai.example.com", False, "^--to has a user$"),
        ("ftp://ai.example.com", False, "no address"),
        ("https://", False, "no address"),
        ("https://[", False, "no address"),
        ("https://a:99999", False, "no address"),
    ],
)
def test_addresses(text: str, near: bool, expected: str) -> None:
    if expected.startswith("http"):
        assert address(text, "--to", near=near) == expected
        return
    with pytest.raises(UsageError, match=expected):
        address(text, "--to", near=near)


def test_words() -> None:
    assert [span(s) for s in (0, 59.9, 60, 3600, 7500, 90000)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 0 min",
        "2 h 5 min",
        "1 d 1 h",
    ]
    assert [size(n) for n in (0, 999, 1500, 20_000_000, 999_600, 10**13)] == [
        "0 B", "999 B", "1.5 kB", "20 MB", "1.0 MB", "10000 GB",
    ]  # fmt: skip
    status = Status(since=100.0, way=Way.CLOUD, local="http://localhost:11434", local_answers=True, requests=1)
    assert rows(status, 160.0) == [
        ("in use", "the cloud, since 1 min"),
        ("model", "http://localhost:11434"),
        ("carried", "1 request, 0 B in, 0 B out"),
    ]
    full = Status(0.0, Way.NONE, "m", False, "s", "t", "d", 2, 1, 0, 0, "why", 5.0)
    assert [label for label, _ in rows(full, 2.0)] == [
        "in use", "model", "session", "tunnel", "door", "carried", "next", "last error",
    ]  # fmt: skip
    assert ("next", "the cloud again in 3 s") in rows(full, 2.0)
