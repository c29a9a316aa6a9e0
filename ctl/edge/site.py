"""Static sites of this machine: the command that makes one, and its files inside a build context."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from ctl.core.errors import InvalidFile, RunFailed, UsageError
from ctl.core.image import Context, Contexts
from ctl.core.site import Site, check_site
from ctl.edge.project import Project

LAST_LINES = 20
_TOPS = ("pubspec.yaml", "package.json", "Makefile")
"""What stands at the top of a project out of which a site is made."""


def contexts(project: Project) -> Contexts:
    """The project's build contexts, with sites in them where a template asks for that."""

    def context(name: str, folders: Mapping[str, str]) -> Context:
        files = dict(project.context(name).files)
        for inside, folder in folders.items():
            found = files_of(project.folder / folder, project.show(project.folder / folder))
            files |= {f"{inside}/{path}": (content, False) for path, content in found.items()}
        return Context(name, files)

    return context


def files_of(folder: Path, shown: str) -> dict[str, bytes]:
    """Path in the site → content. Hidden files stay here, but for `.well-known`. Raises InvalidFile."""
    paths = {path.relative_to(folder).as_posix(): path for path in _walk(folder, folder.resolve(), shown)}
    check_site({name: path.stat().st_size for name, path in paths.items()}, shown)
    return {name: path.read_bytes() for name, path in paths.items()}


def _walk(folder: Path, home: Path, shown: str) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") and path.name != ".well-known":
            continue
        if path.is_symlink() and (not path.exists() or path.is_dir() or not path.resolve().is_relative_to(home)):
            raise InvalidFile(shown, f"{path.name} is a link, and not one to a file of the site")
        if path.is_dir():
            yield from _walk(path, home, shown)
        elif path.is_file():
            yield path


def ready(project: Project, site: Site) -> None:
    """Raises UsageError where the site is not there."""
    folder = project.folder / site.directory
    if not folder.is_dir():
        hint = f"`ctl deploy` runs `{site.build}` first" if site.build else "build the site first"
        raise UsageError(f"{project.show(folder)} is no folder", hint=hint)


def workshop(project: Project, site: Site) -> Path:
    """Where the site's command runs: what `in` names, else the top of the project that the folder is in.

    Raises UsageError for an `in` that is no folder.
    """
    if site.inside:
        folder = project.folder / site.inside
        if not folder.is_dir():
            raise UsageError(f"{project.show(folder)} is no folder", hint="`in` says where the build command runs")
        return folder
    above = Path(os.path.normpath(project.folder / site.directory)).parents
    return next((folder for folder in above if any((folder / top).is_file() for top in _TOPS)), project.folder)


def build(project: Project, site: Site) -> None:
    """Run the site's command to its end. Raises RunFailed with its last words, UsageError as `workshop` does."""
    said: deque[str] = deque(maxlen=LAST_LINES)
    # The command is a line of the person's own inventory, as one of a Makefile would be.
    with subprocess.Popen(  # noqa: S602
        site.build,
        shell=True,
        cwd=workshop(project, site),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            said.append(line.rstrip())
    if process.returncode != 0:
        last = "".join(f"\n    {line}" for line in said)
        raise RunFailed(
            f"`{site.build}` failed on this machine (exit code {process.returncode})"
            + (f", and said last:{last}" if last else ""),
            hint="nothing on a host has changed",
        )
