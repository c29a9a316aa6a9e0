"""How a value enters another language so that it arrives there unchanged.

One function per language and place: any string in, the text to write there out, its quotes included. A value that the
language cannot carry raises ValueError with the reason; NUL is carried by none of them, and neither is a lone
surrogate, which no file in UTF-8 can hold. The messages never show the value: it may be a secret.
"""

from __future__ import annotations

import re
import shlex

_NGINX_LIMIT = 4000  # of its configuration buffer's 4096
_ODD_BACKSLASHES = re.compile(r'(?<!\\)(?:\\\\)*\\(?="|\Z)')
_C_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def sh(value: str) -> str:
    """One word of a POSIX sh command line."""
    return shlex.quote(_carried(value))


def dotenv(value: str) -> str:
    r"""What stands after `NAME=` in a `.env` file that Docker Compose reads, for `${NAME}` to be the value.

    Single quotes take everything literally, `$` and line breaks too, but a quote needs a backslash before it, and a
    backslash that stands before a quote or at the end cannot be told from that one. Double quotes carry the rest:
    there backslashes are undone in pairs and `\$` is a dollar.
    """
    _carried(value)
    if "'" not in value and not value.endswith("\\"):
        return f"'{value}'"
    return '"' + re.sub(r'[\\"$]', r"\\\g<0>", value) + '"'


_DOTENV = re.compile(
    r"""[ \t]*(?:\#[^\n]*)?(?:\n|\Z)"""  # nothing, or a comment
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?:'(?P<plain>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)")(?:\n|\Z)""",
    re.DOTALL,
)


def read_dotenv(text: str) -> dict[str, str]:
    """The inverse: name → value of a `.env` file whose values `dotenv` wrote. Raises ValueError with the line."""
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        line = _DOTENV.match(text, at)
        if line is None:
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1} is not NAME= and a quoted value")
        if name := line["name"]:
            values[name] = (
                re.sub(r"\\(.)", r"\1", line["escaped"] or "", flags=re.DOTALL)
                if line["plain"] is None
                else line["plain"]
            )
        at = line.end()
    return values


def compose(value: str) -> str:
    """A literal inside a string of a Compose file: what Compose's own interpolation turns back into the value."""
    return _carried(value).replace("$", "$$")


def caddy(value: str, *, imports: int = 0) -> str:
    r"""One token of a Caddyfile, for places where Caddy expands placeholders (bodies, header values, upstreams).

    Three readings are undone. `{$NAME}` is replaced in the raw text of the file, before anything is quoted: `{$:{$}`, a
    variable without a name whose default is `{$`, is the one way to write these two characters. Then a token in double
    quotes knows `\"` and no other escape, so that a backslash cannot stand before a quote that is meant; one in
    backticks knows none at all. Last, a running Caddy expands `{name}` and takes `\{` and `\}` for the braces.
    A text that comes in through `import` (of a file or of a snippet) is expanded once more per `imports`.
    Where Caddy does not expand placeholders (a password's hash) a value must not hold braces.
    """
    text = _carried(value)
    # Caddy before 2.8 leaves a text without `{` as it is; so does this, as far as the newer reading allows.
    if "{" in text or "\\}" in text or text == "}":
        text = re.sub(r"[{}]", lambda brace: "\\" * (1 + imports) + brace[0], text)
    if not _ODD_BACKSLASHES.search(text):
        quoted = '"' + text.replace('"', '\\"') + '"'
    elif "`" not in text:
        quoted = f"`{text}`"
    else:
        raise ValueError("a Caddyfile cannot carry a backtick and also a backslash before a double quote or at the end")
    return quoted.replace("{$", "{$:{$}")


def systemd(value: str) -> str:
    """One word of a unit's setting that takes quoted words: `Environment=`, say, for `NAME=value` as a whole."""
    escaped = re.sub(
        '[\x01-\x1f\x7f"\\\\]', lambda odd: _C_ESCAPES.get(odd[0], f"\\x{ord(odd[0]):02x}"), _carried(value)
    )
    return '"' + escaped.replace("%", "%%") + '"'


def systemd_exec(value: str) -> str:
    """One argument of `ExecStart=` and its like, where systemd also expands `$NAME`."""
    return systemd(value).replace("$", "$$")


def systemd_calendar(value: str) -> str:
    """A time for `OnCalendar=`, which knows no quotes: refuses what no such time has."""
    if not re.fullmatch(r"[A-Za-z0-9*:,./~ +_-]+", _carried(value)):
        raise ValueError("not a time as systemd writes it, such as 03:30 or Sun *-*-* 04:00")
    return value


def line(value: str) -> str:
    """The rest of a line that its reader takes as it is, such as a header's value: refuses what ends a line."""
    if re.search("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", _carried(value)):
        raise ValueError("the value has more than one line")
    return value


def sql(value: str) -> str:
    """A string of standard SQL, as PostgreSQL and psql read it: nothing but the quote itself has a meaning there."""
    return "'" + _carried(value).replace("'", "''") + "'"


def nginx(value: str) -> str:
    """One parameter of an nginx directive.

    Refuses `$`, which begins a variable in most of them and cannot be escaped, and what nginx's 4 KiB buffer cannot
    hold.
    """
    if "$" in _carried(value):
        raise ValueError("nginx cannot carry a dollar: it has no escape for it")
    quoted = '"' + re.sub(r'[\\"]', r"\\\g<0>", value) + '"'
    if len(quoted.encode()) > _NGINX_LIMIT:
        raise ValueError(f"nginx cannot carry a parameter of more than {_NGINX_LIMIT} bytes")
    return quoted


def _carried(value: str) -> str:
    """The value, if it is text that a file and an argument can hold at all."""
    if "\0" in value:
        raise ValueError("the value holds a NUL byte, which no configuration can carry")
    if re.search("[\ud800-\udfff]", value):
        raise ValueError("the value holds half of a surrogate pair, which is not text")
    return value
