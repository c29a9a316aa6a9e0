"""The files of a project: inventory.yaml, .env, and the templates and stacks: the program's own and the project's."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctl
from ctl.core.errors import InvalidFile, UnknownName, UsageError
from ctl.core.image import Context
from ctl.core.inventory import Inventory, decode_inventory
from ctl.core.stack import Stack, decode_stack

_PACKAGE = Path(ctl.__file__).parent
_SHIPPED = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with an inventory.yaml. Its own `templates/` and `stacks/` come before those that are shipped."""

    folder: Path

    @property
    def inventory_path(self) -> Path:
        return self.folder / "inventory.yaml"

    def inventory(self) -> Inventory:
        """An absent file is an empty inventory. Raises InvalidFile."""
        path = self.inventory_path
        return decode_inventory(read_text(path), file=self.show(path)) if path.exists() else Inventory()

    def templates(self) -> dict[str, str]:
        """Path under `templates/` → text."""
        texts: dict[str, str] = {}
        for base in self._bases("templates"):
            for path in sorted(base.rglob("*")):
                if path.is_file() and not path.name.startswith("."):
                    texts[path.relative_to(base).as_posix()] = read_text(path)
        return texts

    def stack_names(self) -> tuple[str, ...]:
        found = {path.parent.name for base in self._bases("stacks") for path in base.glob("*/stack.yaml")}
        return tuple(sorted(found))

    def stack(self, name: str) -> Stack:
        """Raises UnknownName, InvalidFile."""
        for base in reversed(self._bases("stacks")):
            path = base / name / "stack.yaml"
            if name in self.stack_names() and path.is_file():
                stack = decode_stack(read_text(path), file=f"stacks/{name}/stack.yaml")
                if stack.name != name:
                    raise InvalidFile(f"stacks/{name}/stack.yaml", f"is the folder of {stack.name!r}", path="name")
                return stack
        raise UnknownName("stack", name, self.stack_names(), hint="ctl stacks lists them")

    def context(self, name: str) -> Context:
        """What `STACK/IMAGE` is built from, but for what its .dockerignore names. Raises UnknownName, InvalidFile."""
        from ctl.edge.context import files_of  # noqa: PLC0415  only stacks that build images need it

        folders = {
            f"{path.parent.parent.parent.name}/{path.parent.name}": (path.parent, base)
            for base in self._bases("stacks")
            for path in base.glob("*/images/*/Dockerfile")
        }
        if name not in folders:
            raise UnknownName("image", name, sorted(folders), hint="it is a folder: stacks/STACK/images/IMAGE")
        folder, stacks = folders[name]
        ignored = folder / ".dockerignore"
        patterns = [line for line in read_text(ignored).splitlines() if line] if ignored.exists() else []
        files: dict[str, tuple[bytes, bool]] = {}
        for inside, path in files_of(folder, patterns, within=(stacks, _PACKAGE)):
            if path != ignored:
                content = path.read_bytes()
                # Not from the file's own mode: an installed package may have lost it.
                files[inside] = (content, content.startswith(b"#!"))
        return Context(name, files)

    def supplied_secrets(self) -> dict[str, str]:
        """What .env and the environment hold; the environment wins. `${…}` in values is not expanded."""
        from dotenv import dotenv_values  # noqa: PLC0415  costs 20 ms; only some commands need it

        path = self.folder / ".env"
        values = dotenv_values(path, interpolate=False) if path.exists() else {}
        return {name: value for name, value in {**values, **os.environ}.items() if value}

    def add_host(self, name: str, entry: Mapping[str, Any]) -> str:
        """Write a new host into inventory.yaml, comments and order kept. Returns the lines added."""
        from ruamel.yaml import YAML  # noqa: PLC0415  only this needs it

        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.indent(mapping=2, sequence=4, offset=2)
        path = self.inventory_path
        data = (yaml.load(read_text(path)) if path.exists() else None) or {}
        hosts = data.get("hosts")
        if hosts is None:
            data["hosts"] = hosts = {}
        hosts[name] = dict(entry)
        buffer = io.StringIO()
        yaml.dump(data, buffer)
        self.write_inventory(buffer.getvalue())
        added = io.StringIO()
        YAML().dump({"hosts": {name: dict(entry)}}, added)
        return added.getvalue()

    def inventory_text(self) -> str:
        """As it stands in the file now. Raises InvalidFile."""
        return read_text(self.inventory_path)

    def write_inventory(self, text: str) -> None:
        """What could not be read back is not written. Raises InvalidFile, UsageError."""
        decode_inventory(text, file=self.show(self.inventory_path))
        write_atomically(self.inventory_path, text.encode(), mode=0o644)

    def show(self, path: Path) -> str:
        """The path as a person in this folder would write it."""
        try:
            return path.relative_to(Path.cwd()).as_posix()
        except ValueError:
            return str(path)

    def _bases(self, kind: str) -> tuple[Path, ...]:
        own = self.folder / kind
        shipped = _SHIPPED / kind
        return (shipped, own) if own.is_dir() and own != shipped else (shipped,)


def open_project(folder: Path | None) -> Project:
    """The project in `folder`, else in the folder we are in. Raises UsageError."""
    folder = (folder or Path.cwd()).resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="--project names the folder of an inventory.yaml")
    return Project(folder)


def read_text(path: Path) -> str:
    """Raises InvalidFile for what cannot be read, or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(str(path), f"is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InvalidFile(str(path), error.strerror or str(error)) from error


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Written beside and renamed: a reader sees the old file or the new one. Raises UsageError."""
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a power cut after the rename must not leave an empty file
        Path(beside).chmod(mode)
        Path(beside).replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
