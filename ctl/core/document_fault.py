"""From msgspec's complaint about some data to the place in the data and a sentence for a person.

msgspec writes "Expected `int`, got `str` - at `$.hosts[...].port`": the key inside a mapping is not named, the value
is not shown, and an unknown key comes without the one that was meant. All three are found here, from data and type.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect

Path = tuple[str | int, ...]

_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_LIMITS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_WHERE = re.compile(r"(?P<text>.*) - at (?P<key>`key` in )?`\$(?P<path>.*)`", re.DOTALL)
_PART = re.compile(r"\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])|\.(?P<name>[^.\[]+)")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the value at `path`, or, where `about_key` is set, with the key that ends `path`."""

    problem: str
    path: Path
    about_key: bool = False


def find_fault(data: Any, type_: Any, message: str) -> Fault:
    """The fault that msgspec's `message` is about, given the data and the type that it tried to convert it to."""
    # At the top there is no " - at" of msgspec's; an unknown key may hold those very characters.
    bare = isinstance(data, dict) and any(message == f"Object contains unknown field `{key}`" for key in data)
    match = None if bare else _WHERE.fullmatch(message)
    text, where = (match["text"], match["path"]) if match else (message, "")
    about_key = bool(match and match["key"])
    path = _resolve(data, type_, message, where, ends_in_key=about_key)
    types = list(_types_at(inspect.type_info(type_), path[:-1] if about_key else path))
    if about_key:
        return Fault(_expected(text, path[-1] if path else ""), path, about_key=bool(path))
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        return Fault(_unknown(unknown[1], types), (*path, unknown[1]), about_key=True)
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text):
        return Fault(f"the key {missing[1]!r} is missing", path)
    value = _at(data, path)
    if text.startswith(("Invalid enum value", "Invalid value")):
        return Fault(_not_one_of(value, _allowed(types, inspect.type_info(type_), path)), path)
    return Fault(_expected(text, value), path)


def _resolve(data: Any, type_: Any, message: str, where: str, *, ends_in_key: bool) -> Path:
    """msgspec's path with every `[...]` replaced by the key of the first entry that brings the same complaint."""
    path: Path = ()
    for part in _PART.finditer(where + "[...]" * ends_in_key):
        value = _at(data, path)
        if part["any"]:
            if not isinstance(value, dict) or not value:
                return path
            path = (*path, _culprit(data, type_, message, path, list(value.items())))
        elif part["index"] and isinstance(value, list) and int(part["index"]) < len(value):
            path = (*path, int(part["index"]))
        elif part["name"] and isinstance(value, dict) and part["name"] in value:
            path = (*path, part["name"])
        else:
            return path
    return path


def _culprit(data: Any, type_: Any, message: str, path: Path, entries: list[tuple[str, Any]]) -> str:
    """msgspec stops at the first fault: the shortest run of entries that has the fault ends with the culprit."""
    low, high = 1, len(entries)
    while low < high:
        middle = (low + high) // 2
        try:
            msgspec.convert(_with(data, path, dict(entries[:middle])), type_, strict=True)
        except msgspec.ValidationError as error:
            found = str(error) == message
        else:
            found = False
        low, high = (low, middle) if found else (middle + 1, high)
    return entries[low - 1][0]


def _with(data: Any, path: Path, value: Any) -> Any:
    """The data with another value at `path`; the original stays as it is."""
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = _with(data[path[0]], path[1:], value)
    return copy


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _types_at(type_: inspect.Type, path: Path) -> Iterable[inspect.Type]:
    """Every type that the value at `path` might have been meant for (several, where there is a union)."""
    if isinstance(type_, inspect.Metadata):
        yield from _types_at(type_.type, path)
    elif isinstance(type_, inspect.UnionType):
        for member in type_.types:
            yield from _types_at(member, path)
    elif not path:
        yield type_
    elif isinstance(type_, inspect.StructType):
        for field in type_.fields:
            if field.encode_name == path[0]:
                yield from _types_at(field.type, path[1:])
    elif isinstance(type_, inspect.DictType):
        yield from _types_at(type_.value_type, path[1:])
    elif isinstance(type_, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
        yield from _types_at(type_.item_type, path[1:])
    elif isinstance(type_, inspect.TupleType) and isinstance(path[0], int):
        for item in type_.item_types[path[0] : path[0] + 1]:
            yield from _types_at(item, path[1:])


def _unknown(name: str, types: Iterable[inspect.Type]) -> str:
    known: list[str] = []
    for type_ in types:
        if isinstance(type_, inspect.StructType):
            known += [field.encode_name for field in type_.fields] + ([type_.tag_field] if type_.tag_field else [])
    if near := get_close_matches(name, known, n=1, cutoff=0.6):
        return f"unknown key {name!r}; did you mean {near[0]!r}?"
    return f"unknown key {name!r}" + (f"; known: {', '.join(sorted(set(known)))}" if known else "")


def _allowed(types: Iterable[inspect.Type], root: inspect.Type, path: Path) -> list[str]:
    """The values that a choice allows: of a Literal, of an Enum, or the tags of the structures in a union."""
    allowed: list[Any] = []
    for type_ in types:
        if isinstance(type_, inspect.LiteralType):
            allowed += type_.values
        elif isinstance(type_, inspect.EnumType):
            allowed += [member.value for member in type_.cls if isinstance(member, enum.Enum)]
    for type_ in _types_at(root, path[:-1]) if path else ():
        if isinstance(type_, inspect.StructType) and type_.tag_field == path[-1]:
            allowed.append(type_.tag)
    return [str(value) for value in dict.fromkeys(allowed)]


def _not_one_of(value: Any, allowed: list[str]) -> str:
    choice = f"one of {', '.join(allowed)}" if len(allowed) > 1 else "".join(allowed)
    return f"expected {choice or 'another value'}, got {_shown(value)}"


def _expected(text: str, value: Any) -> str:
    """msgspec's "Expected `int` >= 1" in words, with the value; any other sentence (of a __post_init__) as it is."""
    match = re.fullmatch(r"Expected `([^`]+)`(.*?)(, got [^']*)?", text, re.DOTALL)
    if not match:
        return text
    kinds = [_WORDS.get(kind, kind) for kind in match[1].split(" | ")]
    expected = " or ".join(kinds)
    limit = match[2]
    if regex := re.fullmatch(r" matching regex (.*)", limit, re.DOTALL):
        expected += f" that matches {regex[1]}"
    elif limit.startswith(" of length"):
        expected += re.sub(r">=|<=|>|<", lambda sign: _LIMITS[sign[0]], limit)
        if isinstance(value, list | dict):
            return f"expected {expected}, got {len(value)}"
    elif bound := re.fullmatch(r" (>=|<=|>|<) (.*)", limit):
        expected += f" of {_LIMITS[bound[1]]} {bound[2]}"
    else:
        expected += limit
    return f"expected {expected}, got {_shown(value)}"


def _shown(value: Any) -> str:
    """A value as a person wrote it, short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1] if isinstance(value, str) else ''}"
