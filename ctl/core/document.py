"""YAML, strictly: text in, typed frozen structures out, and every error with its file, line and path.

What is read is YAML 1.2's core schema whatever the version line says: `22:22`, `on`, `0777`, `1_000` and dates are
strings. Refused, because each of them has hidden a mistake before: duplicate keys, keys that are not strings, tags,
more than one document, and documents too big or too deep to be a configuration. Anchors, aliases and `<<` work, within
bounds. `dump` is the way back: text that every YAML reader takes for the same data.

The parser delivers a flat stream of events; the tree is built here, so that depth and size are checked on the way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import yaml

from ctl.core.document_fault import Fault, Path, find_fault
from ctl.core.document_text import dump as dump
from ctl.core.errors import InvalidFile

MAX_BYTES = 1 << 20
MAX_DEPTH = 100
MAX_VALUES = 100_000  # with every alias expanded: a "billion laughs" stops here

T = TypeVar("T")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|(?:0|[1-9][0-9]*)(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_KINDS = {int: "an integer", float: "a number", bool: "true or false", type(None): "nothing"}


@dataclass(slots=True)
class _Node:
    """One value, the line a person would look at for it (1-based), and what it is made of."""

    value: Any
    line: int
    children: dict[str | int, _Node] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)
    size: int = 1
    height: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML text says: plain dicts, lists and scalars (None for an empty text), and where it says it."""

    data: Any
    file: str
    _root: _Node | None

    def line(self, path: Path) -> int | None:
        """The 1-based line of the value at `path`; for a mapping or a list inside a mapping, that of its key."""
        node = self._root
        for part in path:
            node = node.children.get(part) if node else None
        return node.line if node else None

    def key_line(self, path: Path) -> int | None:
        """The 1-based line of the key that ends `path`, which may be one that nobody expected."""
        node = self._root
        for part in path[:-1]:
            node = node.children.get(part) if node else None
        return node.key_lines.get(str(path[-1])) if node and path else None


def load(text: str, *, file: str) -> Document:
    """Reads one YAML document. `file` is only what errors call it. Raises InvalidFile and nothing else."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidFile(file, f"is larger than {MAX_BYTES // 1024} KiB")
    if odd := _UNPRINTABLE.search(text):
        problem = f"is not YAML: the character U+{ord(odd[0]):04X} may not stand in it"
        raise InvalidFile(file, problem, line=text.count("\n", 0, odd.start()) + 1)
    try:
        root = _Builder(file).document(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, len(text.splitlines())) if mark else None  # the mark of the end is past the last line
        raise InvalidFile(file, f"is not YAML: {_syntax(error, text)}", line=line) from None
    except yaml.YAMLError as error:
        raise InvalidFile(file, f"is not YAML: {str(error).splitlines()[0]}") from None
    return Document(root.value if root else None, file, root)


def decode(text: str, type_: type[T], *, file: str) -> T:
    """Reads one YAML document into `type_`, refusing whatever the type does not allow. Raises InvalidFile."""
    return convert(load(text, file=file), type_)


def convert(document: Document, type_: type[T]) -> T:
    """A loaded document as a value of `type_`. Raises InvalidFile with the line and the path of the first fault."""
    try:
        return msgspec.convert(document.data, type_, strict=True)
    except msgspec.ValidationError as error:
        fault = find_fault(document.data, type_, str(error))
    if document.data is None:
        raise InvalidFile(document.file, "is empty")
    line = document.key_line(fault.path) if fault.about_key else document.line(fault.path)
    raise InvalidFile(document.file, fault.problem, line=line, path=_path_shown(fault))


def _path_shown(fault: Fault) -> str:
    """`hosts.prod-1.ports[2]`; a key that would be ambiguous there stands in quotes."""
    path = fault.path[:-1] if fault.about_key else fault.path
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[\w/@+-]+", part) else msgspec.json.encode(part).decode()
            shown += f".{name}" if shown else name
    return shown


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    """The parser's complaint, with the commonest ones in words that say what to do."""
    problem = error.problem or error.context or "it cannot be read"
    if "cannot start any token" in problem and error.problem_mark:
        found = text[error.problem_mark.index : error.problem_mark.index + 1]
        return "a tab stands where only spaces may" if found == "\t" else f"quote a text that begins with {found!r}"
    if "mapping values are not allowed" in problem:
        return "a colon stands where no key can be (quote a text that holds ': ')"
    return problem


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Builder:
    """Turns the parser's events into one tree, refusing what the module's docstring says it refuses."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.anchors: dict[str, _Node | None] = {}  # None while the anchored value is still being read
        self.values = 0

    def fail(self, problem: str, line: int) -> InvalidFile:
        return InvalidFile(self.file, problem, line=line)

    def document(self, events: Iterator[Any]) -> _Node | None:
        root: _Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.fail("holds more than one document", _line(event))
                root = self.node(next(events), events, 0)
        return root

    def node(self, event: Any, events: Iterator[Any], depth: int) -> _Node:
        line = _line(event)
        if depth > MAX_DEPTH:
            raise self.fail(f"is nested more than {MAX_DEPTH} levels deep", line)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(str(event.anchor), line, depth)
        if event.tag is not None:
            raise self.fail(f"the tag {event.tag!r} is not supported here", line)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.count(1, line)
        if isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(events, line, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(events, line, depth)
        else:
            node = _Node(self.scalar(event.value, line) if event.implicit[0] else event.value, line)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def count(self, values: int, line: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise self.fail(f"holds more than {MAX_VALUES} values, its aliases expanded", line)

    def alias(self, name: str, line: int, depth: int) -> _Node:
        if name not in self.anchors:
            raise self.fail(f"the alias *{name} names no anchor above it", line)
        node = self.anchors[name]
        if node is None:
            raise self.fail(f"the alias *{name} stands inside the value that it names", line)
        self.count(node.size, line)
        if depth + node.height > MAX_DEPTH:
            raise self.fail(f"is nested more than {MAX_DEPTH} levels deep", line)
        # A copy, so that no two places of the data are one object; the lines stay those of the anchored text.
        return _Node(deepcopy(node.value), node.line, node.children, node.key_lines, node.size, node.height)

    def sequence(self, events: Iterator[Any], line: int, depth: int) -> _Node:
        node = _Node([], line)
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            child = self.node(event, events, depth + 1)
            node.children[len(node.value)] = child
            node.value.append(child.value)
            node.size += child.size
            node.height = max(node.height, child.height + 1)
        return node

    def mapping(self, events: Iterator[Any], line: int, depth: int) -> _Node:
        node = _Node({}, line)
        merged: list[_Node] = []
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key, key_line = self.key(event), _line(event)
            if key in node.key_lines:
                raise self.fail(f"the key {key!r} stands here and on line {node.key_lines[key]}", key_line)
            node.key_lines[key] = key_line
            child = self.node(next(events), events, depth + 1)
            node.size += child.size
            node.height = max(node.height, child.height + 1)
            if key == "<<" and event.implicit[0]:
                merged = self.merged(child, key_line)
                continue
            if child.children or isinstance(child.value, dict | list):
                child.line = key_line
            node.children[key] = child
            node.value[key] = child.value
        for source in merged:  # the mapping's own keys win, then the first source that has the key
            for name, child in source.children.items():
                if name not in node.children:
                    node.children[name] = child
                    node.value[name] = deepcopy(child.value)
                    node.key_lines[str(name)] = source.key_lines[str(name)]
        return node

    def key(self, event: Any) -> str:
        line = _line(event)
        if isinstance(event, yaml.MappingStartEvent):
            raise self.fail("a key has to be a plain string (quote a text that begins with '{')", line)
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
            raise self.fail("a key has to be a plain string", line)
        value = self.scalar(event.value, line) if event.implicit[0] else event.value
        if not isinstance(value, str):
            raise self.fail(f"the key {event.value!r} is {_KINDS[type(value)]}; quote it to make it a string", line)
        return value

    def merged(self, child: _Node, line: int) -> list[_Node]:
        sources = list(child.children.values()) if isinstance(child.value, list) else [child]
        if not all(isinstance(source.value, dict) for source in sources):
            raise self.fail("'<<' takes a mapping or a list of mappings", line)
        return sources

    def scalar(self, text: str, line: int) -> Any:
        """The value of a plain scalar in YAML 1.2's core schema, but for `0777`, which nobody reads as 777."""
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        number: int | float | None = None
        if _INT.fullmatch(text):
            # Longer than any 64-bit number: not worth parsing, and Python refuses thousands of digits on its own terms.
            number = int(text, 0) if len(text) <= 70 else 1 << 64
            if not -(1 << 63) <= number < 1 << 64:
                raise self.fail("a number does not fit into 64 bits (quote it if it is a text)", line)
        elif _FLOAT.fullmatch(text):
            number = float(text)
            if math.isinf(number):
                raise self.fail("a number is too large (quote it if it is a text)", line)
        elif special := _SPECIAL.fullmatch(text):
            number = math.nan if special[1] is None else math.copysign(math.inf, -1 if special[1] == "-" else 1)
        return text if number is None else number
