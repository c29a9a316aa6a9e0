"""The disk's side of taking over a Compose file: what stands beside it, and the template folder that comes of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ctl.core.adopt.compose import Found
from ctl.core.errors import UsageError

MAX_TEXT = 256 * 1024
MAX_ENTRIES = 200


class Beside:
    """What stands in the folder of a Compose file, and nowhere else: links that lead out of it are not followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def __call__(self, path: str) -> Found | None:
        """Raises UsageError for what is there and cannot be read."""
        whole = (self.folder / path).resolve()
        if not whole.is_relative_to(self.folder):
            return None
        try:
            if whole.is_dir():
                return Found(entries=_entries(whole))
            if not whole.is_file():
                return None
            if whole.stat().st_size > MAX_TEXT:
                return Found()
            text = whole.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return Found()
        except OSError as error:
            raise UsageError(f"{whole} cannot be read: {error.strerror}") from error
        return Found(text=text, values=lambda: _values(whole))


def _entries(folder: Path) -> tuple[str, ...]:
    """The files in it, in order; no more than it takes to see that there are many."""
    found: list[str] = []
    for base, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            found.append((Path(base) / name).relative_to(folder).as_posix())
            if len(found) > MAX_ENTRIES:
                return tuple(found)
    return tuple(found)


def _values(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # noqa: PLC0415  costs 20 ms; only this needs it

    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}


def write_template(templates: Path, name: str, files: Mapping[str, str]) -> Path:
    """The folder `services/NAME` under the project's own templates: all at once, or nothing. Raises UsageError."""
    target = templates / "services" / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{name}."))
        try:
            beside.chmod(0o755)
            for inside, text in files.items():
                path = beside / inside
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            beside.rename(target)  # fails where there is a folder with something in it
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
    return target
