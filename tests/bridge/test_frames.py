"""Frames survive the wire, and whatever else comes over it is refused in one way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.bridge import frames
from ctl.bridge.frames import (
    MAX_PIECE,
    WINDOW,
    Auth,
    Cancel,
    Data,
    End,
    Error,
    Frame,
    ProtocolError,
    Ready,
    ReceiveWindow,
    Request,
    Response,
    SendWindow,
    Window,
    decode,
    encode,
    pieces,
)

ids = st.integers(1, frames.MAX_ID)
names = st.from_regex(frames.TOKEN, fullmatch=True)
headers = st.dictionaries(names, st.from_regex(frames.VALUE, fullmatch=True), max_size=8).map(
    lambda found: tuple(found.items())
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        Auth,
        token=st.from_regex(frames.BEARER, fullmatch=True),
        sessionId=st.from_regex(frames.SESSION, fullmatch=True),
        timestamp=st.integers(0, 2**53),
    ),
    st.builds(Ready, sessionId=st.from_regex(frames.SESSION, fullmatch=True)),
    st.builds(
        Request,
        id=ids,
        method=st.from_regex(frames.METHOD, fullmatch=True),
        path=st.from_regex(frames.PATH, fullmatch=True),
        headers=headers,
    ),
    st.builds(Response, id=ids, status=st.integers(200, 599), headers=headers),
    st.builds(Data, id=ids, body=st.binary(min_size=1, max_size=300)),
    st.builds(End, id=ids),
    st.builds(Cancel, id=ids),
    st.builds(Error, id=ids, code=st.from_regex(frames.CODE, fullmatch=True), message=texts),
    st.builds(Window, id=ids, bytes=st.integers(1, frames.MAX_CREDIT)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
MEMBERS = st.sampled_from(sorted({*frames.RULES, "more"}))


@given(FRAMES)
def test_a_frame_survives_the_wire(frame: Frame) -> None:
    message = encode(frame)
    assert decode(message) == frame
    assert isinstance(message, bytes) == isinstance(frame, Data)


@given(st.text() | st.binary() | JSON.map(json.dumps))
def test_whatever_comes_is_a_frame_or_a_protocol_error(message: str | bytes) -> None:
    try:
        frame = decode(message)
    except ProtocolError as error:
        assert frames.CODE.fullmatch(error.code)
    else:
        assert decode(encode(frame)) == frame


@given(st.sampled_from(sorted(frames.KINDS)), st.dictionaries(MEMBERS, JSON | ids | headers.map(dict)))
def test_what_looks_like_a_frame_is_one_or_a_protocol_error(kind: str, members: dict[str, object]) -> None:
    try:
        frame = decode(json.dumps({"type": kind, **members}))
    except ProtocolError:
        return
    assert decode(encode(frame)) == frame


@given(FRAMES, st.data())
def test_a_frame_that_lost_or_won_a_byte_is_no_other_error(frame: Frame, data: st.DataObject) -> None:
    message = encode(frame)
    at = data.draw(st.integers(0, len(message) - 1))
    for changed in (message[:at], message[:at] + message[at + 1 :], message[: at + 1] + message[at:]):
        try:
            decode(changed)
        except ProtocolError:
            pass


def test_the_shape_on_the_wire() -> None:
    request = Request(7, "POST", "/api/chat", (("accept", "*/*"),))
    assert encode(request) == (
        '{"type":"request","id":7,"method":"POST","path":"/api/chat","headers":{"accept":"*/*"}}'
    )
    assert encode(Data(258, b"abc")) == b"\x00\x00\x01\x02abc"
    assert encode(Auth("t", "s", 5)) == '{"type":"auth","token":"t","sessionId":"s","timestamp":5}'
    assert encode(Window(1, 4096)) == '{"type":"window","id":1,"bytes":4096}'
    with pytest.raises(FrozenInstanceError):
        request.id = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "bad_json"),
        ("[" * 100_000, "bad_json"),
        ('{"type":"end","id":1,"id":1}', "bad_json"),
        ('{"type":"end","id":NaN}', "bad_frame"),
        ('{"type":"end","id":' + "9" * 5000 + "}", "bad_json"),
        ("[]", "unknown_type"),
        ('{"type":[]}', "unknown_type"),
        ('{"type":"data","id":1}', "unknown_type"),
        ('{"type":"end"}', "bad_frame"),
        ('{"type":"end","id":true}', "bad_frame"),
        ('{"type":"end","id":1.0}', "bad_frame"),
        ('{"type":"end","id":0}', "bad_frame"),
        ('{"type":"end","id":4294967296}', "bad_frame"),
        ('{"type":"end","id":1,"more":1}', "bad_frame"),
        ('{"type":"window","id":1,"bytes":0}', "bad_frame"),
        ('{"type":"window","id":1,"bytes":1048577}', "bad_frame"),
        ('{"type":"error","id":1,"code":"x","message":"\\ud800"}', "bad_frame"),
        ('{"type":"request","id":1,"method":"GET","path":"/a b","headers":{}}', "bad_frame"),
        ('{"type":"request","id":1,"method":"GET","path":"http://elsewhere/","headers":{}}', "bad_frame"),
        ('{"type":"request","id":1,"method":"GET","path":"/","headers":{"a":"b\\r\\nc: d"}}', "bad_frame"),
        ('{"type":"request","id":1,"method":"GET","path":"/","headers":{"A":"b"}}', "bad_frame"),
        ('{"type":"request","id":1,"method":"GET","path":"/","headers":[["a","b"]]}', "bad_frame"),
        ('{"type":"response","id":1,"status":101,"headers":{}}', "bad_frame"),
        (" " * (frames.MAX_MESSAGE + 1), "too_large"),
        (b"", "bad_frame"),
        (b"\x00\x00\x00\x01", "bad_frame"),
        (b"\x00\x00\x00\x00a", "bad_frame"),
        (b"\x00\x00\x00\x01" + b"a" * (MAX_PIECE + 1), "bad_frame"),
    ],
    ids=lambda value: str(value[:40]),
)
def test_what_is_refused(message: str | bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode(message)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "frame",
    [
        End(0),
        Data(1, b""),
        Data(1, b"a" * (MAX_PIECE + 1)),
        Response(1, 99, ()),
        Response(1, 200, (("a", "b"), ("a", "c"))),
        Response(1, 200, (("Date", "x"),)),
        Error(1, "Not A Code", ""),
        Response(1, 200, tuple((f"h{number}", "x" * 2**14) for number in range(70))),
    ],
)
def test_what_would_be_refused_is_not_sent(frame: Frame) -> None:
    with pytest.raises(ProtocolError):
        encode(frame)


@given(st.binary(max_size=3 * MAX_PIECE))
def test_a_body_in_pieces_is_the_body(body: bytes) -> None:
    found = [decode(encode(each)) for each in pieces(1, body)]
    assert b"".join(each.body for each in found if isinstance(each, Data)) == body


@given(st.lists(st.integers(1, MAX_PIECE), max_size=50))
def test_windows_on_both_sides_agree(amounts: list[int]) -> None:
    """What was sent is consumed at once, so that the writer never has to wait for good."""
    sender, receiver = SendWindow(), ReceiveWindow()
    for amount in amounts:
        left = amount
        while left:
            taken = sender.take(left)
            assert taken, "a window that nobody opens again"
            receiver.receive(taken)
            left -= taken
            if given := receiver.consume(taken):
                sender.give(given)


def test_a_writer_stops_when_nothing_is_consumed() -> None:
    sender, receiver = SendWindow(), ReceiveWindow()
    receiver.receive(sender.take(2 * WINDOW))
    assert sender.credit == 0 and sender.take(1) == 0
    with pytest.raises(ProtocolError, match="flow"):
        receiver.receive(1)
    assert receiver.consume(WINDOW) == WINDOW
    receiver.receive(WINDOW)


@pytest.mark.parametrize("give", [SendWindow().give, ReceiveWindow().grant])
def test_credit_has_an_end(give: Callable[[int], None]) -> None:
    give(frames.MAX_CREDIT - WINDOW)
    with pytest.raises(ProtocolError, match="flow"):
        give(1)


def test_credit_that_is_carried_back() -> None:
    window = ReceiveWindow()
    window.receive(WINDOW)
    window.grant(10)
    window.receive(10)
    with pytest.raises(ProtocolError, match="flow"):
        window.receive(1)
