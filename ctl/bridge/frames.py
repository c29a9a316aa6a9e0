"""What a proxy in the cloud and the programs on either side of it say to each other, one WebSocket message a frame.

Text is JSON and controls; binary is a piece of a body: the stream's id in 4 bytes, big-endian, then 1 to 65536 bytes.
A requester (the proxy towards the desktop, a browser towards the proxy) opens streams with ids that only go up:

    Request, Data…, End  →         ←  Response, Data…, End          Cancel by either, Error by who answers

A stream is over when the answer has ended, or with the first Cancel or Error; what is still on its way for it is then
passed over in silence. Each direction of a stream begins with WINDOW bytes of credit; who receives gives more with
Window as it consumes, so that a slow reader stops the writer, and nobody between has to keep more than WINDOW bytes.

This file imports only the standard library: the proxy's image has it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar

# Bytes, at most: of a WebSocket message, of a piece of a body in one frame, of a request's whole body.
MAX_MESSAGE = 2**20
MAX_PIECE = 2**16
MAX_BODY = 32 * 2**20
# Streams under way in one session, headers of a request or an answer, and the last id that 4 bytes hold.
MAX_STREAMS = 32
MAX_HEADERS = 100
MAX_ID = 2**32 - 1
# Bytes on their way in one direction of a stream: before the receiver has given credit, and however much it gives.
WINDOW = 256 * 2**10
MAX_CREDIT = 4 * WINDOW

Headers = tuple[tuple[str, str], ...]
"""Names are lower case, and each stands there once."""


class Close(IntEnum):
    """Why a WebSocket was closed, beside the codes that the protocol has for everybody."""

    PROTOCOL = 1002
    TOO_LARGE = 1009
    GOING_AWAY = 1001
    BUSY = 1013
    BAD_TOKEN = 4401
    WRONG_SESSION = 4403
    EXPIRED = 4408
    REPLAY = 4409
    REPLACED = 4410


class ProtocolError(Exception):
    """A message that is no frame, or a frame that has no place here. `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Auth:
    """The first message on a connection, within 10 s; again with a fresh token, it extends the connection."""

    type: ClassVar = "auth"
    token: str
    sessionId: str  # as the wire has it
    timestamp: int
    """Unix time in milliseconds."""


@dataclass(frozen=True, slots=True)
class Ready:
    type: ClassVar = "ready"
    sessionId: str


@dataclass(frozen=True, slots=True)
class Request:
    type: ClassVar = "request"
    id: int
    method: str
    path: str
    """With the query; ASCII."""
    headers: Headers


@dataclass(frozen=True, slots=True)
class Response:
    type: ClassVar = "response"
    id: int
    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a body, 1 to MAX_PIECE bytes."""

    id: int
    body: bytes


@dataclass(frozen=True, slots=True)
class End:
    """Of the body, in the direction in which it was sent."""

    type: ClassVar = "end"
    id: int


@dataclass(frozen=True, slots=True)
class Cancel:
    type: ClassVar = "cancel"
    id: int


@dataclass(frozen=True, slots=True)
class Error:
    type: ClassVar = "error"
    id: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Window:
    """That many bytes more may be sent."""

    type: ClassVar = "window"
    id: int
    bytes: int


Control = Auth | Ready | Request | Response | End | Cancel | Error | Window
Frame = Control | Data
KINDS: dict[str, type[Control]] = {
    kind.type: kind for kind in (Auth, Ready, Request, Response, End, Cancel, Error, Window)
}

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,128}")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
METHOD = re.compile(r"[A-Z]{1,16}")
PATH = re.compile(r"/[\x21\x24-\x7e]*")
CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
SESSION = re.compile(r"[a-z0-9]{1,64}")
BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}")


def whole(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and least <= value <= most


def matching(pattern: re.Pattern[str], most: int = 2**16) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and len(value) <= most and bool(pattern.fullmatch(value))


def is_text(value: object) -> bool:
    """Of at most 1000 characters, which can be sent again."""
    return isinstance(value, str) and len(value) <= 1000 and not any(0xD800 <= ord(each) <= 0xDFFF for each in value)


is_header_name = matching(TOKEN)
is_header_value = matching(VALUE, 2**14)


def are_headers(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) > MAX_HEADERS:
        return False
    if not all(type(pair) is tuple and len(pair) == 2 for pair in value):
        return False
    return all(is_header_name(name) and is_header_value(text) for name, text in value) and len(dict(value)) == len(
        value
    )


RULES: dict[str, Callable[[object], bool]] = {
    "id": whole(1, MAX_ID),
    "token": matching(BEARER),
    "sessionId": matching(SESSION),
    "timestamp": whole(0, 2**53),
    "method": matching(METHOD),
    "path": matching(PATH, 2**13),
    "headers": are_headers,
    "status": whole(200, 599),
    "code": matching(CODE),
    "message": is_text,
    "bytes": whole(1, MAX_CREDIT),
}


def encode(frame: Frame) -> str | bytes:
    """The message to send: text for a control, bytes for Data. Raises ProtocolError for what decode would refuse."""
    if isinstance(frame, Data):
        if not whole(1, MAX_ID)(frame.id) or not 1 <= len(frame.body) <= MAX_PIECE:
            raise ProtocolError("bad_frame", "a piece has an id and 1 to 65536 bytes")
        return frame.id.to_bytes(4, "big") + frame.body
    members: dict[str, object] = {field.name: getattr(frame, field.name) for field in fields(frame)}
    check(frame.type, members)
    if isinstance(frame, Request | Response):
        members["headers"] = dict(frame.headers)
    text = json.dumps({"type": frame.type, **members}, separators=(",", ":"))
    if len(text) > MAX_MESSAGE:
        raise ProtocolError("too_large", f"a message has at most {MAX_MESSAGE} bytes")
    return text


def decode(message: str | bytes) -> Frame:
    """The frame in a message. Raises ProtocolError, and nothing else, for whatever is not one."""
    if len(message) > MAX_MESSAGE:
        raise ProtocolError("too_large", f"a message has at most {MAX_MESSAGE} bytes")
    return control(message) if isinstance(message, str) else piece(message)


def piece(message: bytes) -> Data:
    number = int.from_bytes(message[:4], "big")
    if not 5 <= len(message) <= 4 + MAX_PIECE or not number:
        raise ProtocolError("bad_frame", "a piece has an id and 1 to 65536 bytes")
    return Data(number, message[4:])


def control(message: str) -> Control:
    try:
        value = json.loads(message, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise ProtocolError("bad_json", "a text message is JSON, without a name given twice") from None
    kind = value.pop("type", None) if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ProtocolError("unknown_type", "a text message is an object with a type that is known")
    if isinstance(value.get("headers"), dict):
        value["headers"] = tuple(value["headers"].items())
    check(kind, value)
    return KINDS[kind](**value)


def check(kind: str, members: dict[str, object]) -> None:
    expected = [field.name for field in fields(KINDS[kind])]
    if set(members) != set(expected):
        raise ProtocolError("bad_frame", f"a frame {kind!r} has {', '.join(expected)}, and nothing else")
    for name in expected:
        if not RULES[name](members[name]):
            raise ProtocolError("bad_frame", f"{name} of a frame {kind!r} is not what it should be")


def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def pieces(number: int, body: bytes) -> Iterator[Data]:
    """A body of any length as frames."""
    for start in range(0, len(body), MAX_PIECE):
        yield Data(number, body[start : start + MAX_PIECE])


def more(credit: int, amount: int) -> int:
    if credit + amount > MAX_CREDIT:
        raise ProtocolError("flow", f"credit of more than {MAX_CREDIT} bytes")
    return credit + amount


class SendWindow:
    """What may still be sent in one direction of a stream, in bytes."""

    __slots__ = ("credit",)

    def __init__(self) -> None:
        self.credit = WINDOW

    def take(self, wanted: int) -> int:
        """How many of the `wanted` bytes may be sent now, which are then spent."""
        taken = min(wanted, self.credit)
        self.credit -= taken
        return taken

    def give(self, amount: int) -> None:
        """What a Window said. Raises ProtocolError if that makes more than MAX_CREDIT."""
        self.credit = more(self.credit, amount)


class ReceiveWindow:
    """What the other side may still send in one direction of a stream, in bytes, and what was consumed of it.

    Who reads the bytes says `consume`; who only carries them on says `grant` for each Window that it carries back.
    """

    __slots__ = ("_consumed", "credit")

    def __init__(self) -> None:
        self.credit = WINDOW
        self._consumed = 0

    def receive(self, amount: int) -> None:
        """Raises ProtocolError if the other side had no credit for that."""
        if amount > self.credit:
            raise ProtocolError("flow", "more was sent than there was credit for")
        self.credit -= amount

    def consume(self, amount: int) -> int:
        """The credit to give now for what was consumed: nothing until it is a quarter of the window."""
        self._consumed += amount
        if self._consumed < WINDOW // 4:
            return 0
        given, self._consumed = self._consumed, 0
        self.credit += given
        return given

    def grant(self, amount: int) -> None:
        """Raises ProtocolError if that makes more than MAX_CREDIT."""
        self.credit = more(self.credit, amount)
