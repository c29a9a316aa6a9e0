"""inventory.yaml changed in one place: every comment, blank line and spelling elsewhere stays as it is.

The parser only says where in the text a value begins and ends, and what is new goes there. What comes out is read again
and has to mean what was asked for, or nothing is to be written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ctl.core.document import load
from ctl.core.errors import InvalidFile
from ctl.core.inventory import Host, decode_inventory, find_host


def amend(text: str, before: Host, after: Host, *, file: str) -> str:
    """The inventory's text once a host's services, what it leaves out and its variables are those of `after`.

    `before` is the host as the text has it. Raises InvalidFile where the place is one that others share, such as an
    alias, and has to be changed by hand.
    """
    here = ("hosts", before.name)
    new = text
    for key, then, now in (
        ("services", before.services, after.services),
        ("without", before.without, after.without),
    ):
        for name in then:
            if name not in now:
                new = _drop_item(new, (*here, key), then.index(name))
                then = tuple(other for other in then if other != name)
        if set(now) - set(then):
            new = _add_items(new, (*here, key), [name for name in now if name not in then], whole=now)
    for name, value in after.vars.items():
        if name not in before.vars or before.vars[name] != value:
            new = _set(new, (*here, "vars"), name, value)
    _check(text, new, after, file)
    return new


def _check(text: str, new: str, after: Host, file: str) -> None:
    """Raises InvalidFile unless the new text says of this host what it is to say, and of the others what it said."""
    by_hand = f"write services and vars of {after.name} there by hand, then ctl deploy {after.name}"
    then = decode_inventory(text, file=file)
    try:
        now = decode_inventory(new, file=file)
    except InvalidFile as error:
        raise InvalidFile(file, f"cannot be changed by a program: {error.problem}", hint=by_hand) from error
    wanted = {name: after if name == after.name else find_host(then, name) for name in then.hosts}
    for name in then.hosts:
        if find_host(now, name) != wanted[name]:
            raise InvalidFile(file, "shares its lines with others", path=f"hosts.{name}", hint=by_hand)


def _find(text: str, path: tuple[str, ...]) -> tuple[yaml.Node, yaml.CollectionNode] | None:
    """The key and the list or mapping at a path, or nothing."""
    found: tuple[yaml.Node, yaml.Node] | None = None
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in path:
        found = _pair(node, part) if node else None
        if found is None:
            return None
        node = found[1]
    return (found[0], found[1]) if found and isinstance(found[1], yaml.CollectionNode) else None


def _pair(mapping: yaml.Node, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = mapping.value if isinstance(mapping, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), None)


def _add_items(text: str, path: tuple[str, ...], items: Iterable[str], *, whole: Iterable[str]) -> str:
    """Items at the end of a list; where there is none, or only one that is taken from another host, the whole list."""
    for item in items:
        found = _find(text, path)
        if found is None:
            return _add_pair(text, path[:-1], f"{path[-1]}: {_spell(list(whole))}")
        text = _append(text, found[1], _spell(item) if found[1].flow_style else f"- {_spell(item)}")
    return text


def _set(text: str, path: tuple[str, ...], name: str, value: Any) -> str:
    """A pair of the mapping at `path`, which need not be there yet."""
    found = _find(text, path)
    if found is None:
        return _add_pair(text, path[:-1], f"{path[-1]}: {{{name}: {_spell(value)}}}")
    old = _pair(found[1], name)
    if old is None:
        return _append(text, found[1], f"{name}: {_spell(value)}")
    return text[: old[1].start_mark.index] + _spell(value) + text[_end(text, old[1]) :]


def _add_pair(text: str, path: tuple[str, ...], line: str) -> str:
    found = _find(text, path)
    if found is None:
        raise LookupError(path)
    return _append(text, found[1], line)


def _append(text: str, collection: yaml.CollectionNode, entry: str) -> str:
    """A further entry at the end of a mapping or a sequence, in its own style."""
    entries = collection.value
    last = _end(text, _last(collection)) if entries else collection.start_mark.index + 1
    if collection.flow_style:
        return text[:last] + (", " if entries else "") + entry + text[last:]
    first = entries[0][0] if isinstance(collection, yaml.MappingNode) else collection
    at = text.find("\n", last)
    at = len(text) if at < 0 else at
    return f"{text[:at]}\n{' ' * first.start_mark.column}{entry}{text[at:]}"


def _last(collection: yaml.CollectionNode) -> yaml.Node:
    last = collection.value[-1]
    found: yaml.Node = last[1] if isinstance(collection, yaml.MappingNode) else last
    return found


def _end(text: str, node: yaml.Node) -> int:
    """Where a value's own text ends: the parser's mark of a block is behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        return _end(text, _last(node))
    return len(text[: node.end_mark.index].rstrip())


def _drop_item(text: str, path: tuple[str, ...], number: int) -> str:
    found = _find(text, path)
    if found is None:
        raise LookupError(path)
    key, sequence = found
    items = sequence.value
    if len(items) == 1:
        return _drop_list(text, path, key, sequence)
    item, flow = items[number], sequence.flow_style
    if not flow:
        # Its line, from the end of the one before to its own.
        start = text.rindex("\n", 0, item.start_mark.index)
        end = text.find("\n", _end(text, item))
        return text[:start] + (text[end:] if end >= 0 else "\n")
    if number + 1 < len(items):
        return text[: item.start_mark.index] + text[items[number + 1].start_mark.index :]
    return text[: _end(text, items[number - 1])] + text[_end(text, item) :]


def _drop_list(text: str, path: tuple[str, ...], key: yaml.Node, sequence: yaml.CollectionNode) -> str:
    """The list with its only item goes, and its line, unless a comment or something else stands there too."""
    start, end = key.start_mark.index, _end(text, sequence)
    begin, stop = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    stop = len(text) if stop < 0 else stop
    alone = not text[begin:start].strip() and not text[end:stop].strip() and "#" not in text[start:end]
    parent = _find(text, path[:-1])
    if alone and parent is not None and len(parent[1].value) > 1:
        return text[:begin] + text[stop + 1 :]
    if sequence.flow_style:
        return text[: sequence.start_mark.index] + "[]" + text[end:]
    colon = text.index(":", key.end_mark.index) + 1
    comment = text[colon : text.index("\n", colon)]
    return text[:colon] + " []" + comment + text[stop:]


_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@+-]*")


def _spell(value: Any) -> str:
    """A value on one line that means itself wherever it stands: plain where nobody could mistake it, else as JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and load(value, file="").data == value and not _odd(value):
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_spell(name)}: {_spell(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_spell, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _odd(word: str) -> bool:
    """Whether older readers of YAML would take it for something else than a text."""
    return not isinstance(yaml.safe_load(word), str)
