"""Settings are environment variables. What is wrong with them is said in one line, all at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit


class SettingsError(Exception):
    """What is wrong with the environment, for a person."""


class Environment:
    """Reads variables and remembers what was wrong; `done()` raises SettingsError if anything was."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables
        self._wrong: list[str] = []

    def text(self, name: str, default: str | None = None, *, least: int = 0) -> str:
        value = self._variables.get(name, "").strip() or default
        if value is None:
            self.refuse(f"{name} is missing")
            return ""
        if len(value) < least:
            self.refuse(f"{name} has to be at least {least} characters long")
        return value

    def whole(self, name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
        value = self._variables.get(name, "").strip()
        if not value:
            return default
        if not value.isdecimal() or not least <= int(value) <= most:
            self.refuse(f"{name} has to be a whole number from {least} to {most}, not {value!r}")
            return default
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._variables.get(name, "").strip().lower()
        if value not in ("", "true", "false"):
            self.refuse(f"{name} has to be true or false, not {value!r}")
        return default if not value else value == "true"

    def words(self, name: str) -> tuple[str, ...]:
        """Separated by commas or spaces."""
        return tuple(self._variables.get(name, "").replace(",", " ").split())

    def url(self, name: str, default: str | None, schemes: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value and value.partition("://")[0] not in schemes:
            self.refuse(f"{name} has to begin with {' or '.join(scheme + '://' for scheme in schemes)}")
        try:
            _ = urlsplit(value).port
        except ValueError:
            self.refuse(f"{name} is no URL")  # which is not shown: it may hold a password
        return value.rstrip("/")

    def path(self, name: str) -> Path | None:
        value = self.text(name, "")
        return Path(value) if value else None

    def refuse(self, what: str) -> None:
        self._wrong.append(what)

    def done(self) -> None:
        if self._wrong:
            raise SettingsError("; ".join(self._wrong))
