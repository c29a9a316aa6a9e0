"""Any Compose file → its services in one shape, with the line of everything that may have to be complained about.

Read as Compose would: variables marked, `include` and `extends` followed. What Compose itself refuses, an unknown key
above all, is refused here with its line.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ctl.core.adopt.schema import Blob, Entry, Extends, Include, MountSpec, Top, depends, env_files, pairs
from ctl.core.adopt.text import RESERVED, Marks
from ctl.core.document import Document, convert, load
from ctl.core.errors import InvalidFile

MAX_FILES = 50


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a path beside the Compose file: a file's text (None: not text, or too large), or a folder's."""

    text: str | None = None
    entries: tuple[str, ...] | None = None
    """Of a folder: the paths of its files, relative to it."""
    values: Callable[[], Mapping[str, str]] = dict
    """Of an env file: what it sets."""


Look = Callable[[str], Found | None]
"""A path relative to the Compose file's folder → what is there, or None. Handed in, so that the core reads no disk."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part of the project came from: its document, and the path to it there."""

    document: Document
    path: tuple[str | int, ...]

    def fault(self, *more: str | int, problem: str, hint: str = "") -> InvalidFile:
        path = (*self.path, *more)
        shown = ".".join(str(part) for part in path)
        return InvalidFile(self.document.file, problem, line=self.line(*more), path=shown, hint=hint)

    def line(self, *more: str | int) -> int | None:
        """Of the deepest part of the path that is in this document (what came by `extends` stands elsewhere)."""
        path = (*self.path, *more)
        lines = (self.document.line(path[:end]) for end in range(len(path), 0, -1))
        return next((line for line in lines if line), None)


@dataclass(frozen=True, slots=True)
class Project:
    """A Compose project: services by name, with paths relative to the folder of the file that was named."""

    name: str
    services: Mapping[str, Entry]
    sources: Mapping[str, Source]
    volumes: Mapping[str, Mapping[str, Any]]
    networks: Mapping[str, Mapping[str, Any]]
    configs: Mapping[str, Blob]
    secrets: Mapping[str, Blob]
    top: Source


def read(text: str, file: str, look: Look, marks: Marks) -> Project:
    """Raises InvalidFile. `file` is the name in messages; its folder is where `look` looks."""
    reader = _Reader(look, marks)
    top = reader.document(text, file)
    parts = reader.open(top, "")
    if not parts.services:
        raise InvalidFile(file, "has no services", hint="is it a Compose file?")
    return parts


class _Reader:
    def __init__(self, look: Look, marks: Marks) -> None:
        self.look, self.marks = look, marks
        self.opened = 0
        self.documents: dict[str, Document] = {}
        self.tops: dict[int, Top] = {}

    def document(self, text: str, file: str) -> Document:
        """With variables marked and `x-…` left out."""
        if odd := RESERVED.search(text):
            line = text.count("\n", 0, odd.start()) + 1
            raise InvalidFile(file, f"the character U+{ord(odd[0]):04X} may not stand in it", line=line)
        document = load(text, file=file)
        return replace(document, data=self._marked(document, (), document.data))

    def _marked(self, document: Document, path: tuple[str | int, ...], data: Any) -> Any:
        if isinstance(data, dict):
            return {
                key: self._marked(document, (*path, key), value)
                for key, value in data.items()
                if not (key.startswith("x-") and len(path) != 1 and "environment" not in path and "labels" not in path)
            }
        if isinstance(data, list):
            return [self._marked(document, (*path, at), value) for at, value in enumerate(data)]
        if isinstance(data, str) and "$" in data:
            try:
                return self.marks.read(data)
            except ValueError as error:
                raise Source(document, path).fault(problem=str(error)) from None
        return data

    def top(self, document: Document) -> Top:
        """The document in types; documents live as long as this does, so that their identity is their name."""
        if id(document) not in self.tops:
            self.tops[id(document)] = convert(document, Top)
        return self.tops[id(document)]

    def open(self, document: Document, folder: str, above: tuple[str, ...] = ()) -> Project:
        self.opened += 1
        if self.opened > MAX_FILES:
            raise InvalidFile(document.file, f"includes more than {MAX_FILES} files")
        top = self.top(document)
        source = Source(document, ())
        services, sources = dict[str, Entry](), dict[str, Source]()
        merged: dict[str, dict[str, Any]] = {"volumes": {}, "networks": {}, "configs": {}, "secrets": {}}
        for at, include in enumerate(top.include or ()):
            for inner in self._included(include, source, at, folder, above):
                services |= inner.services
                sources |= inner.sources
                for kind, whole in merged.items():
                    whole |= getattr(inner, kind)
        for name in top.services:
            services[name] = self._service(document, name, folder, ())
            sources[name] = Source(document, ("services", name))
        for kind, whole in merged.items():
            own = getattr(top, kind) or {}
            whole |= {
                key: _moved_blob(value, folder) if isinstance(value, Blob) else value or {}
                for key, value in own.items()
            }
        name = top.name if RESERVED.search(top.name) is None else ""  # a name that a variable holds is none yet
        return Project(name, services, sources, top=source, **merged)

    def _included(
        self, include: str | Include, source: Source, at: int, folder: str, above: tuple[str, ...]
    ) -> list[Project]:
        given = Include(path=include) if isinstance(include, str) else include
        if given.env_file or given.project_directory:
            raise source.fault("include", at, problem="an include with settings of its own cannot be taken")
        paths = (given.path,) if isinstance(given.path, str) else given.path
        if len(paths) != 1:
            raise source.fault("include", at, problem="an include of several files in one is not understood")
        path = _join(folder, self.plain(paths[0], source, "include", at))
        if path in above:
            raise source.fault("include", at, problem=f"{path} includes itself")
        return [self.open(self._file(path, source, "include", at), posixpath.dirname(path), (*above, path))]

    def _file(self, path: str, source: Source, *more: str | int) -> Document:
        if path not in self.documents:
            found = self.look(path)
            if found is None or found.text is None:
                raise source.fault(*more, problem=f"{path} is not beside the file, or no text")
            self.documents[path] = self.document(found.text, path)
        return self.documents[path]

    def _service(self, document: Document, name: str, folder: str, above: tuple[str, ...]) -> Entry:
        """With what it extends, the way Compose merges: mappings by key, lists one after the other."""
        entry = self.top(document).services.get(name)
        source = Source(document, ("services", name))
        mark = f"{document.file} {name}"
        if entry is None:
            raise InvalidFile(document.file, f"there is no service {name!r} to extend")
        if mark in above or len(above) > MAX_FILES:
            raise source.fault("extends", problem="extends itself" if mark in above else "extends too many in a row")
        entry = _moved_entry(entry, folder)
        if entry.extends is None:
            return entry
        wanted = Extends(entry.extends) if isinstance(entry.extends, str) else entry.extends
        other, inside = document, folder
        if wanted.file:
            path = _join(folder, self.plain(wanted.file, source, "extends"))
            other, inside = self._file(path, source, "extends"), posixpath.dirname(path)
        base = self._service(other, self.plain(wanted.service, source, "extends"), inside, (*above, mark))
        return _merged(base, entry)

    def plain(self, text: str, source: Source, *more: str | int) -> str:
        try:
            return self.marks.plain(text)
        except LookupError as error:
            raise no_value(str(error.args[0]), source, *more) from None


def no_value(name: str, source: Source, *more: str | int) -> InvalidFile:
    return source.fault(
        *more, problem=f"{name} has no value, and one is needed here", hint=f"write {name}=… into .env beside the file"
    )


def _join(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def _moved_blob(blob: Blob, folder: str) -> Blob:
    return blob if blob.file is None else msgspec.structs.replace(blob, file=_join(folder, blob.file))


def _moved_entry(entry: Entry, folder: str) -> Entry:
    """With the relative paths of a file in another folder seen from the first one's."""
    if not folder:
        return entry

    def mount(volume: str | MountSpec) -> str | MountSpec:
        if isinstance(volume, str):
            return f"./{_join(folder, volume)}" if volume.startswith(".") else volume
        if volume.type == "bind" and volume.source.startswith("."):
            return msgspec.structs.replace(volume, source=f"./{_join(folder, volume.source)}")
        return volume

    files = env_files(entry)
    return msgspec.structs.replace(
        entry,
        volumes=None if entry.volumes is None else tuple(map(mount, entry.volumes)),
        env_file=tuple(msgspec.structs.replace(file, path=_join(folder, file.path)) for file in files) or None,
    )


def relative(path: str) -> str:
    """Of a path as the file writes it: what `Look` takes."""
    return posixpath.normpath(path)


_REPLACED = ("command", "entrypoint", "healthcheck", "extends")


def _merged(base: Entry, own: Entry) -> Entry:
    """What `extends` makes of two services."""
    result: dict[str, Any] = {}
    for name in Entry.__struct_fields__:
        old, new = getattr(base, name), getattr(own, name)
        if name in {"environment", "labels"}:
            old, new = pairs(old) or None, pairs(new) or None
        if name == "depends_on":
            old, new = depends(base) or None, depends(own) or None
        if name == "extends":
            result[name] = None
        elif new is None or new == getattr(_EMPTY, name):
            result[name] = old
        elif old is None or name in _REPLACED or type(old) is not type(new):
            result[name] = new
        elif isinstance(new, dict):
            result[name] = _deep(old, new)
        elif isinstance(new, tuple):
            result[name] = (*old, *(item for item in new if item not in old))
        else:
            result[name] = new
    return Entry(**result)


def _deep(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _deep(old.get(key), value) for key, value in new.items()}}
    return new


_EMPTY = Entry()
