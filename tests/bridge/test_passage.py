"""What may pass between a session's two sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.bridge.frames import Request, decode, encode
from ctl.bridge.passage import allowed, carried


@pytest.mark.parametrize(
    "path", ["/api/chat", "/api/", "/v1/models", "/v1/chat/completions?a=../b", "/api/blobs/sha256:a"]
)
def test_paths_of_the_model(path: str) -> None:
    assert allowed("POST", path)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/api", "/apis/x", "/metrics", "/api/../x", "/api/..", "/api/./x", "/api/%2e%2e/x", "/api/%252e%252e/x",
        "/api//x", "//api/x", "/%61pi/x", "/api/..%2fx", "/api/x%5c..%5cy", "/api/x\\y", "/x?/api/",
    ],
)  # fmt: skip
def test_paths_that_are_not(path: str) -> None:
    assert not allowed("GET", path)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "CONNECT", "TRACE", "get"])
def test_methods_that_are_not(method: str) -> None:
    assert not allowed(method, "/api/chat")


def test_headers_that_go_on() -> None:
    given = (
        ("Content-Type", "application/json"),
        ("Accept", "a"),
        ("Accept", "b"),
        ("Authorization", "Bearer x"),
        ("Cookie", "x"),
        ("Host", "x"),
        ("Origin", "x"),
        ("Connection", "close, X-One"),
        ("X-One", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Sec-Fetch-Mode", "cors"),
        ("X-Forwarded-For", "203.0.113.1"),
        ("X-Broken", "a\nb"),
        ("Br oken", "a"),
    )
    assert carried(given) == (("content-type", "application/json"), ("accept", "a, b"))


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=120))
def test_what_goes_on_fits_in_a_frame(given: list[tuple[str, str]]) -> None:
    frame = Request(1, "GET", "/api/x", carried(given))
    assert decode(encode(frame)) == frame
