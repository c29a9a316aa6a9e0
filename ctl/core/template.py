"""Jinja, made strict: every value that enters a text is made of harmless letters or has been quoted for it.

Four ways to render, by what the text is for:

* `yaml_data`   a YAML file: each `{{ value }}` becomes a marker, the text is parsed, and the values are put in
                afterwards, so that no value can break the YAML around it, whatever it holds.
* `text`        any other file (Caddyfile, unit, .conf): a value is harmless or went through a filter of `FILTERS`.
* `step`        sh, likewise; a secret may not enter at all.
* `expand`      the strings of a stack file, in which `{{ }}` may name variables.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from jinja2 import FunctionLoader, StrictUndefined
from jinja2.runtime import Context

from ctl.core import quoting
from ctl.core.document import load
from ctl.core.errors import TemplateFault
from ctl.core.secret import MASK, Secret, bcrypt_hash

_HARMLESS = re.compile(r"[A-Za-z0-9._/:@,+=-]*")
# What a template can raise by itself: undefined names, wrong types, arithmetic, an include that includes itself.
_FAULTS = (
    jinja2.TemplateError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
_MARK = re.compile("\ue000([0-9]+)\ue001")


class Quoted(str):
    """A text that a quoting filter has made fit for its place."""

    __slots__ = ()


class Sink:
    """What one rendering meets on its way: the values set in, and whether a secret was among them."""

    def __init__(
        self,
        *,
        secrets_allowed: bool = True,
        on_secret: Callable[[Secret], str] = Secret.reveal,
        on_text: Callable[[str], str] = str,
    ) -> None:
        self.values: list[Any] = []
        self.secrets: list[Secret] = []
        self.secrets_allowed = secrets_allowed
        self.on_secret = on_secret
        self.on_text = on_text

    def reveal(self, secret: Secret) -> str:
        if not self.secrets_allowed:
            raise ValueError(f"the secret {secret.name} cannot stand here: steps are shown and logged")
        self.secrets.append(secret)
        return self.on_secret(secret)


def _quoter(quote: Callable[..., str]) -> Callable[..., Quoted]:
    @jinja2.pass_context
    def quote_filter(context: Context, value: Any, **options: int) -> Quoted:
        return Quoted(quote(_plain(context["_sink"], value), **options))

    return quote_filter


FILTERS: Mapping[str, Callable[..., str]] = {
    "quote": quoting.sh,
    "dotenv": quoting.dotenv,
    "caddy": quoting.caddy,
    "nginx": quoting.nginx,
    "systemd": quoting.systemd,
    "systemd_exec": quoting.systemd_exec,
    "systemd_calendar": quoting.systemd_calendar,
    "sql": quoting.sql,
    "line": quoting.line,
}


def _plain(sink: Sink, value: Any) -> str:
    if isinstance(value, Secret):
        return sink.reveal(value)
    if isinstance(value, StrictUndefined):
        str(value)  # raises what Jinja raises for an undefined name
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(f"expected a text or an integer, got {'nothing' if value is None else repr(value)}")
    return _unmasked(str(value))


def _unmasked(text: str) -> str:
    """The text, unless a secret was made into one before it came here (`~`, `join`, `string`)."""
    if MASK in text:
        raise ValueError("a secret's mask would be rendered instead of its value: let it stand alone in {{ }}")
    return text


def _bcrypt(password: Any, salt: Any, cost: int = 10) -> Secret:
    if not (isinstance(password, Secret) and isinstance(salt, Secret)):
        raise TypeError("bcrypt takes secrets: password | bcrypt(salt)")
    return bcrypt_hash(password, salt, cost)


@jinja2.pass_context
def _into_text(context: Context, value: Any) -> str:
    sink: Sink = context["_sink"]
    text = _plain(sink, value)
    if isinstance(value, Quoted) or _HARMLESS.fullmatch(text):
        return text
    shown = value.name if isinstance(value, Secret) else repr(text)
    raise ValueError(f"{shown} has to be quoted for its place: {', '.join(sorted(FILTERS))}")


@jinja2.pass_context
def _into_yaml(context: Context, value: Any) -> str:
    sink: Sink = context["_sink"]
    if isinstance(value, StrictUndefined):
        str(value)
    if isinstance(value, str) and _MARK.search(value):
        raise ValueError("a macro or a {% set %} block (or a text with U+E000 in it) cannot be used in a YAML template")
    sink.values.append(value)
    return f"\ue000{len(sink.values) - 1}\ue001"


class Templates:
    """All template texts by path under `templates/`, compiled once."""

    def __init__(self, texts: Mapping[str, str], *, cache: jinja2.BytecodeCache | None = None) -> None:
        options: dict[str, Any] = {
            # Compiled under its path, so that a fault in an included template names that one.
            "loader": FunctionLoader(lambda path: (texts[path], path, lambda: True) if path in texts else None),
            "undefined": StrictUndefined,
            "keep_trailing_newline": True,
            "trim_blocks": True,
            "lstrip_blocks": True,
            "autoescape": False,
            "bytecode_cache": cache,
            "extensions": ["jinja2.ext.do"],
        }
        self.texts = texts
        self._text = jinja2.Environment(finalize=_into_text, **options)  # noqa: S701  nothing here is HTML
        self._yaml = jinja2.Environment(finalize=_into_yaml, **options)  # noqa: S701
        for name, quote in FILTERS.items():
            self._text.filters[name] = _quoter(quote)
        self._text.filters["bcrypt"] = _bcrypt

    def text(self, path: str, values: Mapping[str, Any], sink: Sink) -> str:
        """Raises TemplateFault with the template and line."""
        out = self._render(self._text, path, values, sink)
        if MASK in out:
            raise TemplateFault(label(path), "a secret's mask was rendered instead of its value")
        return out

    def source(self, path: str) -> str:
        return self.texts[path]

    def step(self, path: str, values: Mapping[str, Any]) -> str:
        return self.text(path, values, Sink(secrets_allowed=False))

    def yaml_data(self, path: str, values: Mapping[str, Any], sink: Sink) -> Any:
        """The parsed YAML with every value in its place; a value alone in its scalar keeps its type."""
        text = self._render(self._yaml, path, values, sink)
        return _fill(load(text, file=label(path)).data, sink, label(path))

    def expand(self, data: Any, values: Mapping[str, Any], *, file: str) -> Any:
        """A data structure with the `{{ }}` in its strings replaced."""
        if isinstance(data, Mapping):
            return {key: self.expand(item, values, file=file) for key, item in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.expand(item, values, file=file) for item in data]
        if not (isinstance(data, str) and "{{" in data):
            return data
        sink = Sink(secrets_allowed=False)
        try:
            text = self._yaml.from_string(data).render(**values, _sink=sink)
        except _FAULTS as error:
            raise TemplateFault(file, f"{data!r}: {error}") from error
        return _fill(text, sink, file)

    def _render(self, env: jinja2.Environment, path: str, values: Mapping[str, Any], sink: Sink) -> str:
        try:
            return env.get_template(path).render(**values, _sink=sink)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateFault(
                label(error.name or path), error.message or "syntax error", line=error.lineno
            ) from error
        except jinja2.TemplateNotFound as error:
            raise TemplateFault(label(path), f"there is no template {error.name!r}") from error
        except _FAULTS as error:
            # Jinja rewrites tracebacks so that frames of templates carry the template's own name and line.
            frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
            place, at = next((frame for frame in reversed(frames) if frame[0] in self.texts), (path, None))
            raise TemplateFault(label(place), str(error), line=at) from error


def label(path: str) -> str:
    return path if path.startswith(("templates/", "stacks/")) else f"templates/{path}"


def _fill(data: Any, sink: Sink, file: str) -> Any:
    if isinstance(data, dict):
        filled: dict[str, Any] = {}
        for key, value in data.items():
            name = _fill(key, sink, file)
            if not isinstance(name, str):
                raise TemplateFault(file, f"a key has to be a text, not {name!r}")
            if name in filled:
                raise TemplateFault(file, f"the key {name!r} stands twice in one mapping")
            filled[name] = _fill(value, sink, file)
        return filled
    if isinstance(data, list):
        return [_fill(item, sink, file) for item in data]
    if not isinstance(data, str):
        return data
    alone = _MARK.fullmatch(data)
    try:
        if alone:
            return _value(sink.values[int(alone[1])], sink)
        return _MARK.sub(lambda mark: _part(sink.values[int(mark[1])], sink), data)
    except (TypeError, ValueError, IndexError) as error:
        raise TemplateFault(file, str(error)) from error


def _value(value: Any, sink: Sink) -> Any:
    if isinstance(value, Secret):
        return sink.reveal(value)
    if isinstance(value, str):
        return sink.on_text(_unmasked(value))
    if isinstance(value, Mapping):
        return {key: _value(item, sink) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(item, sink) for item in value]
    if not isinstance(value, (bool, int, float)):
        raise TypeError(f"expected a value, got {'nothing' if value is None else type(value).__name__}")
    return value


def _part(value: Any, sink: Sink) -> str:
    """A value as a part of a longer string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _plain(sink, value)
    return text if isinstance(value, Secret) else sink.on_text(text)
