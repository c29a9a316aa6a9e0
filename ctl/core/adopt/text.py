"""The `$` of a Compose file, read as Compose reads it, and the way of a text into a template of ours.

A variable keeps its place in the text as a mark (two characters of the private use area around a number) until it is
settled what becomes of it: its value, a secret, or a variable of the template. Everything else is literal from here on,
`$` included; `spell` doubles it again for Compose, and keeps Jinja away from what only looks like Jinja.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ctl.core.document import dump

OPEN, CLOSE = "\ue0f0", "\ue0f1"
RESERVED = re.compile("[\ue000\ue001\ue0f0\ue0f1]")
"""What no source may hold: these characters stand for values here and in templates."""

MAX_DEPTH = 20

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_MARK = re.compile(f"{OPEN}([0-9]+){CLOSE}")
_JINJA = re.compile(rf"\{{(?=[{{%#{OPEN}])")


@dataclass(frozen=True, slots=True)
class Variable:
    """`${NAME…}` at one place: its value there (a default that is used included), or None where nothing gives one."""

    name: str
    value: str | None
    about: str = ""
    """What `${NAME:?…}` says."""


class Marks:
    """The variables of one import, and what Compose would make of the texts that name them.

    `values` is what the .env file beside the Compose file says. Raises ValueError for what is no interpolation.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.variables: list[Variable] = []

    def read(self, text: str, depth: int = 0) -> str:
        """The text with every `${NAME}` replaced by a mark, and every `$$` by one dollar."""
        if depth > MAX_DEPTH:
            raise ValueError(f"variables are nested more than {MAX_DEPTH} deep")
        out: list[str] = []
        at = 0
        while (dollar := text.find("$", at)) >= 0:
            out.append(text[at:dollar])
            rest = text[dollar + 1 :]
            if rest.startswith("$"):
                out.append("$")
                at = dollar + 2
            elif rest.startswith("{"):
                end = _closing(text, dollar + 1)
                out.append(self._braced(text[dollar + 2 : end], depth + 1))
                at = end + 1
            elif name := _NAME.match(rest):
                out.append(self.mark(Variable(name[0], self.values.get(name[0]))))
                at = dollar + 1 + name.end()
            else:
                out.append("$")
                at = dollar + 1
        return "".join(out) + text[at:]

    def _braced(self, inside: str, depth: int) -> str:
        name = _NAME.match(inside)
        rest = inside[name.end() :] if name else ""
        operator = _OPERATOR.match(rest)
        if name is None or (rest and operator is None):
            raise ValueError(f"${{{inside}}} is no variable as Compose writes them (a plain dollar is $$)")
        value = self.values.get(name[0])
        if operator is None:
            return self.mark(Variable(name[0], value))
        argument, kind = rest[operator.end() :], operator[0]
        given = value is not None and not (kind.startswith(":") and not value)
        if kind.endswith("+"):
            return self.read(argument, depth) if given else ""
        if given:
            return self.mark(Variable(name[0], value))
        if kind.endswith("?"):
            return self.mark(Variable(name[0], None, argument))
        default = self.read(argument, depth)
        # A default that is itself a variable counts as that one.
        return default if OPEN in default else self.mark(Variable(name[0], default))

    def mark(self, variable: Variable) -> str:
        self.variables.append(variable)
        return f"{OPEN}{len(self.variables) - 1}{CLOSE}"

    def split(self, text: str) -> Iterator[str | Variable]:
        at = 0
        for found in _MARK.finditer(text):
            if found.start() > at:
                yield text[at : found.start()]
            yield self.variables[int(found[1])]
            at = found.end()
        if at < len(text):
            yield text[at:]

    def replace(self, data: Any, become: Callable[[Variable], str]) -> Any:
        """The data with every variable in its texts replaced."""
        return each_text(data, lambda text: "".join(p if isinstance(p, str) else become(p) for p in self.split(text)))

    def plain(self, text: str) -> str:
        """The text with the values of its variables. Raises LookupError with the name of one that has none."""

        def value(variable: Variable) -> str:
            if variable.value is None:
                raise LookupError(variable.name)
            return variable.value

        return str(self.replace(text, value))


def _closing(text: str, brace: int) -> int:
    """Where the brace that opens at `brace` closes; Compose counts every brace."""
    depth = 0
    for at in range(brace, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"the brace of {text[brace - 1 : brace + 40]!r} does not close (a plain dollar is $$)")


def each_text(data: Any, change: Callable[[str], str]) -> Any:
    """The data with every text in it changed; keys stay."""
    if isinstance(data, dict):
        return {key: each_text(value, change) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [each_text(value, change) for value in data]
    return change(data) if isinstance(data, str) else data


class Spelling:
    """Data → the text of a template: YAML that Jinja and then Compose turn back into the same data.

    `expression` gives the mark that becomes `{{ … }}`.
    """

    def __init__(self) -> None:
        self.expressions: list[str] = []

    def expression(self, text: str) -> str:
        self.expressions.append(text)
        return f"{OPEN}{len(self.expressions) - 1}{CLOSE}"

    def spell(self, data: Any) -> str:
        """For what Compose reads: a dollar in a value is doubled."""
        text = dump(each_text(data, lambda value: value.replace("$", "$$")))
        text = _JINJA.sub("{{ '{' }}", text)
        return _MARK.sub(lambda mark: "{{ " + self.expressions[int(mark[1])] + " }}", text)


def without_jinja(data: Any) -> str:
    """Plain YAML, for a block in which no Jinja may stand: what looks like it is escaped inside double quotes."""
    lines = dump(data).splitlines()
    if not any(_JINJA.search(line) for line in lines):
        return "\n".join(lines) + "\n"
    spaced = each_text(data, lambda value: value.replace("{", OPEN))
    return _quoted_braces(dump(each_text(spaced, lambda value: value.replace("\n", " ") if OPEN in value else value)))


def _quoted_braces(text: str) -> str:
    return text.replace(OPEN, "\\u007b")


def comment(text: str) -> str:
    """Words from outside as a part of a comment: one line, and nothing that Jinja would read."""
    return json.dumps(_JINJA.sub("{ ", " ".join(text.split())), ensure_ascii=False)[1:-1].replace('\\"', '"')
