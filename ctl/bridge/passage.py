"""What may pass between a session's two sides: methods, paths and headers.

Both ends ask here: the proxy before it sends, the bridge before it believes. Like frames, it stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from .frames import MAX_HEADERS, Headers, is_header_name, is_header_value

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})
ROOTS = ("/api/", "/v1/")

ONE_CONNECTION = {
    "connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
WHO_ASKS = {"authorization", "cookie", "forwarded", "host", "origin", "referer", "via", "x-real-ip", "x-request-id"}
THE_PROXYS_OWN = {"alt-svc", "date", "server", "set-cookie", "strict-transport-security"}
FAMILIES = ("access-control-", "proxy-", "sec-", "x-forwarded-")


def allowed(method: str, path: str) -> bool:
    """Whether a request may reach the model's server: its API, and no way round that with dots, slashes or escapes."""
    bare = path.partition("?")[0]
    plain = unquote(unquote(bare))
    segments = plain.split("/")[1:]
    return (
        method in METHODS
        and bare.startswith(ROOTS)
        and plain.startswith(ROOTS)
        and "\\" not in plain
        and not any(each in (".", "..") for each in segments)
        and "" not in segments[:-1]
    )


def carried(headers: Iterable[tuple[str, str]]) -> Headers:
    """What of a request's or an answer's headers goes on: nothing that is about one connection only (`Connection` may
    name more), nothing that says who asks, nothing that is the proxy's to say. One that stands there twice becomes one,
    separated by a comma; one that no frame may hold is left out."""
    found: dict[str, str] = {}
    dropped = ONE_CONNECTION | WHO_ASKS | THE_PROXYS_OWN
    for name, text in ((name.lower(), text.strip(" \t")) for name, text in headers):
        if name == "connection":
            dropped |= {each.strip().lower() for each in text.split(",")}
        both = f"{found[name]}, {text}" if name in found else text
        if is_header_name(name) and is_header_value(both):
            found[name] = both
    kept = ((name, text) for name, text in found.items() if name not in dropped and not name.startswith(FAMILIES))
    return tuple(kept)[:MAX_HEADERS]
