"""The files of a build context: what a folder holds, its links followed, but for what its .dockerignore names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from docker.utils.build import PatternMatcher

from ctl.core.errors import InvalidFile


def files_of(folder: Path, patterns: Sequence[str], *, within: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Path in the context → file. Docker packs a link as a link, which leads nowhere on a host; here it stands for what
    it leads to, so that images can share a folder. Raises InvalidFile for a link to nowhere, out of `within` or in a
    circle."""
    rules = PatternMatcher([*patterns, "!Dockerfile"])
    kept = [rule.cleaned_pattern for rule in rules.patterns if rule.exclusion]
    homes = [home.resolve() for home in within]

    def walk(inside: Path) -> Iterator[tuple[str, Path]]:
        for path in sorted((folder / inside).iterdir()):
            name = path.relative_to(folder)
            wanted = not rules.matches(name.as_posix())  # type: ignore[arg-type]  # it takes text, whatever its stub says
            if not wanted and not any(pattern.startswith(name.as_posix()) for pattern in kept):
                continue
            if path.is_symlink():
                check(path)
            if path.is_dir():
                yield from walk(name)
            elif wanted:
                yield name.as_posix(), path

    def check(link: Path) -> None:
        try:
            goal = link.resolve(strict=True)
        except (OSError, RuntimeError):  # the second for a link to itself, up to Python 3.12
            raise InvalidFile(str(link), "is a link that leads nowhere") from None
        if not any(goal.is_relative_to(home) for home in homes):
            raise InvalidFile(str(link), f"is a link that leads out of {within[0]}")
        if link.parent.resolve().is_relative_to(goal):
            raise InvalidFile(str(link), "is a link that leads in a circle")

    yield from walk(Path())
