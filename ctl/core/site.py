"""A static site that is made on this machine and travels to a host: its folder, and the command that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from ctl.core.errors import InvalidFile

MAX_MEGABYTES = 100
MAX_FILES = 20_000

Text = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[^\x00\n]*$")]


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Folders are named from where inventory.yaml is. `inside` (`in` there) is where the command runs, if given."""

    directory: Text
    build: str = ""
    inside: str = msgspec.field(default="", name="in")


def decode_site(given: Any, *, source: str, path: str) -> Site:
    """Raises InvalidFile."""
    try:
        return msgspec.convert(given, Site)
    except msgspec.ValidationError as error:
        hint = "such as {directory: ../app/build/web, build: flutter build web}"
        raise InvalidFile(source, str(error), path=path, hint=hint) from error


def check_site(sizes: Mapping[str, int], shown: str) -> None:
    """Whether files of these sizes (bytes, by path in the folder) are a site that can travel. Raises InvalidFile."""
    if "index.html" not in sizes:
        raise InvalidFile(shown, "has no index.html: it is no static site, or one that is not built yet")
    if len(sizes) > MAX_FILES:
        raise InvalidFile(shown, f"holds {len(sizes)} files, and {MAX_FILES} are the most that a site may have")
    total = sum(sizes.values())
    if total > MAX_MEGABYTES << 20:
        largest = max(sizes, key=lambda path: sizes[path])
        raise InvalidFile(
            shown,
            f"holds {total >> 20} MB, and {MAX_MEGABYTES} are the most that a site may have",
            hint=f"the largest file is {largest}, {sizes[largest] >> 20} MB",
        )
