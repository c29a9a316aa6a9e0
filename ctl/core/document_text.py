"""Data as YAML text that PyYAML (YAML 1.1), YAML 1.2 readers and Go's yaml.v3 (Docker Compose) all read the same.

A string stands plain only where no reader could take it for anything else; otherwise it is quoted, or, where it has
several ordinary lines, a literal block. Order is kept, lines are never folded.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_DEPTH = 100  # what document.load reads back
MAX_KEY = 1000  # YAML allows 1024 characters before the colon of a key on one line

_PLAIN = re.compile(r"(?!\.\.\.)[A-Za-z0-9_./](?:[A-Za-z0-9_./@%+=,;()$*!<>~^-]|:(?![ ]|\Z)| (?! |\Z))*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".inf", ".nan"})
_NUMBER = re.compile(r"[0-9.][0-9A-Fa-fxXoObBpP_.:eE+-]*|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*")
_LINES = re.compile("(?!\\s)[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def dump(data: Any) -> str:
    """The YAML text, ending in a newline, of dicts with string keys, lists, tuples, strings, numbers, bools and None.

    Raises ValueError for what no YAML text can carry, or what would not be read back: other types, lone surrogates,
    integers beyond 64 bits, keys of more than 1000 characters, more than 100 levels.
    """
    return "\n".join(_lines(data, 0)) + "\n"


def _lines(value: Any, depth: int) -> list[str]:
    """The value as lines without indentation; the first may follow `- ` or, for a scalar, `key: `."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    lines: list[str] = []
    if isinstance(value, dict) and value:
        for key, item in value.items():
            first, *rest = _lines(item, depth + 1)
            if isinstance(item, dict | list | tuple) and item:
                lines += [f"{_key(key)}:", f"  {first}", *_indented(rest)]
            else:
                lines += [f"{_key(key)}: {first}", *_indented(rest)]
    elif isinstance(value, list | tuple) and value:
        for item in value:
            first, *rest = _lines(item, depth + 1)
            lines += [f"- {first}", *_indented(rest)]
    elif isinstance(value, str) and "\n" in value and _is_block(value):
        ends = value.endswith("\n")
        text = value.removesuffix("\n").split("\n")
        # Inside a mapping or a list the parent indents these lines; at the top they stand in the first column.
        lines = ["|" if ends else "|-", *(text if depth else _indented(text))]
    else:
        lines = [_scalar(value)]
    return lines


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is not a string")
    text = _string(key)
    if len(text) > MAX_KEY:
        raise ValueError(f"a key of more than {MAX_KEY} characters: {key[:40]!r}…")
    return text


def _is_block(text: str) -> bool:
    """Whether a literal block keeps this text: no blank ends, and no line of blanks, on which readers differ."""
    return bool(_LINES.fullmatch(text)) and not text.endswith("\n\n") and not re.search(r"^[ \t]+$", text, re.MULTILINE)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict | list | tuple):
        return "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise ValueError("an integer beyond 64 bits")
        return str(int(value))
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _string(value)
    raise ValueError(f"YAML has no {type(value).__name__}")


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(float(value))
    # YAML 1.1 takes `1e+16` for a string: it wants the point.
    return text if "." in text else text.replace("e", ".0e")


def _string(text: str) -> str:
    """One line: plain, in single quotes where double ones would need escapes, or in double quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not _NUMBER.fullmatch(text):
        return text
    if text.isascii() and text.isprintable() and "'" not in text and re.search(r'["\\]', text):
        return f"'{text}'"
    if re.search("[\ud800-\udfff]", text):
        raise ValueError(f"a lone surrogate in {text[:40]!r}")
    # JSON's escapes are YAML's too; what JSON leaves raw and YAML does not allow is escaped on top.
    return _ESCAPED.sub(lambda odd: f"\\u{ord(odd[0]):04x}", json.dumps(text, ensure_ascii=False))
