"""Images that a stack builds itself, out of a folder under its `images/`: the build context as one file."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ctl.core.errors import InvalidFile, UnknownName

Contexts = Callable[[str, Mapping[str, str]], "Context"]
"""By `STACK/IMAGE`, and the folders of this machine that go into it, by their names there. Raises UnknownName."""


@dataclass(frozen=True)
class Context:
    """What `docker build` is given: `files` maps each path in the folder to its bytes and whether it can be run."""

    name: str
    files: Mapping[str, tuple[bytes, bool]]

    def __post_init__(self) -> None:
        if "Dockerfile" not in self.files:
            raise InvalidFile(f"stacks/{self.name.replace('/', '/images/')}", "has no Dockerfile")

    def tar(self) -> bytes:
        """Uncompressed, as everything travels compressed. The same files give the same bytes."""
        return self._packed

    @cached_property
    def _packed(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path, (content, executable) in sorted(self.files.items()):
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), 0o755 if executable else 0o644
                tar.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()

    @property
    def image(self) -> str:
        """Named by its content: what was built from it once is never built again, and is never another."""
        return f"{self.name}:{hashlib.sha256(self.tar()).hexdigest()[:12]}"


def none_known(name: str, folders: Mapping[str, str]) -> Context:  # noqa: ARG001
    """The contexts of a project without any."""
    raise UnknownName("image", name, ())
