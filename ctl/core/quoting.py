"""How a value enters another language so that it arrives there unchanged.

One function per language and place: any string in, the text to write there out, its quotes included. A value that the
language cannot carry raises ValueError with the reason; NUL is carried by none of them, and neither is a lone surrogate,
which no file in UTF-8 can hold. The messages never show the value: it may be a secret.
"""

from __future__ import annotations

import re
import shlex


def sh(value: str) -> str:
    """One word of a POSIX sh command line."""
    return shlex.quote(_carried(value))


def dotenv(value: str) -> str:
    """What stands after `NAME=` in a `.env` file that Docker Compose reads, for `${NAME}` to be the value.

    Single quotes take everything literally, `$` and line breaks too, but a quote needs a backslash before it, and a
    backslash that stands before a quote or at the end cannot be told from that one. Double quotes carry the rest:
    there backslashes are undone in pairs and `\\$` is a dollar.
    """
    _carried(value)
    if "'" not in value and not value.endswith("\\"):
        return f"'{value}'"
    return '"' + re.sub(r'[\\"$]', r"\\\g<0>", value) + '"'


def compose(value: str) -> str:
    """A literal inside a string of a Compose file: what Compose's own interpolation turns back into the value."""
    return _carried(value).replace("$", "$$")


def caddy(value: str) -> str:
    raise NotImplementedError


def systemd(value: str) -> str:
    raise NotImplementedError


def systemd_exec(value: str) -> str:
    raise NotImplementedError


def nginx(value: str) -> str:
    raise NotImplementedError


def _carried(value: str) -> str:
    """The value, if it is text that a file and an argument can hold at all."""
    if "\0" in value:
        raise ValueError("the value holds a NUL byte, which no configuration can carry")
    if re.search("[\ud800-\udfff]", value):
        raise ValueError("the value holds half of a surrogate pair, which is not text")
    return value
