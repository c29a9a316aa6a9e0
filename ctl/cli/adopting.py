"""add-service --from: a Compose file becomes a service of the project's own catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ctl.cli.terminal import err
from ctl.core.errors import UsageError

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.adopt.write import Note

_MARKS = {"taken": ("✓ ", "green"), "changed": ("~ ", "cyan"), "open": ("! ", "yellow")}


def adopt(
    workplace: Workplace,
    file: Path,
    name: str = "",
    allow: Collection[str] = (),
    pins: Mapping[str, str] | None = None,
    hosts: Collection[str] = (),
) -> str:
    """Take a Compose file into the project's own templates; returns the name that the catalogue has it under now.

    `pins` are versions by image (`parse_pins`). The secrets' values that the file holds go into the vault of each of
    `hosts`; without any they are named, and left where they are. What came of it is told on stderr. Raises
    UsageError's children, and nothing is written then.
    """
    from ctl.core.adopt import Wishes, adopt, proper_name  # noqa: PLC0415  only this command needs all of it
    from ctl.core.service import Catalogue  # noqa: PLC0415
    from ctl.edge.adoption import Beside, write_template  # noqa: PLC0415
    from ctl.edge.project import read_text  # noqa: PLC0415

    project, known = workplace.project, workplace.catalogue
    text, shown = read_text(file), project.show(file.resolve())
    folder = file.resolve().parent
    taken = {
        *known.names(),
        *known.names("proxy"),
        *(more for n in known.names() for more in known.get("services", n).meta.also),
    }
    found = adopt(
        text,
        shown,
        Beside(folder),
        name or _named(text, shown, proper_name(folder.name)),
        Wishes(allow, pins or {}),
        taken,
    )
    # What could not be read back is not written.
    whole = Catalogue({f"services/{found.name}/{path}": content for path, content in found.files.items()})
    whole.get("services", found.name)
    for host in hosts:
        workplace.vault.add(host, found.kept)
    target = write_template(project.folder / "templates", found.name, found.files)
    _tell(found.notes, project.show(target), len(found.files))
    if found.kept and not hosts:
        err.line(("! ", "yellow"), f"the file's values of {', '.join(sorted(found.kept))} are in no vault yet")
        err.line("  ", "for each host, where they are to stay what they are: ctl secrets set HOST NAME")
    return found.name


def _named(text: str, file: str, folder: str) -> str:
    """The folder's name, where the file does not say what the project is called."""
    from ctl.core.document import load  # noqa: PLC0415

    data = load(text, file=file).data
    return "" if isinstance(data, dict) and data.get("name") else folder


def _tell(notes: Iterable[Note], target: str, files: int) -> None:
    """First what was taken over, then what was changed for it, and last what is left to do."""
    err.line(("✓ ", "green"), f"{target} is written: {files} file{'s' if files > 1 else ''}")
    for kind in ("taken", "changed", "open"):
        for note in notes:
            if note.kind == kind:
                err.line(_MARKS[kind], (note.about, "bold"), f"  {note.text}")


def parse_pins(words: Iterable[str]) -> dict[str, str]:
    """`--pin IMAGE=VERSION` words. Raises UsageError."""
    pins: dict[str, str] = {}
    for word in words:
        image, mark, version = word.partition("=")
        if not (mark and image and version) or version in {"latest", "VERSION"}:
            raise UsageError(f"--pin takes IMAGE=VERSION or IMAGE=sha256:DIGEST, got {word!r}")
        pins[image] = version
    return pins
