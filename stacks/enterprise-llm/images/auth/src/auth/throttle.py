"""How often somebody may try: per account and per address, counted before the password is looked at."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from pathlib import Path

import msgspec

from webservice.web import Problem

from .document import Document

MOST_KEYS = 20_000


class Attempts(msgspec.Struct):
    """attempts.json: hash of an account or address → times of attempts that did not succeed."""

    at: dict[str, list[float]] = {}


class Throttle:
    def __init__(self, folder: Path, *, account: int, address: int, seconds: int) -> None:
        self.document = Document(folder / "attempts.json", Attempts, durable=False)
        self._limits = {"account": account, "address": address}
        self._seconds = seconds

    async def enter(self, **who: str) -> list[str]:
        """Count an attempt of `account=` and `address=`; the keys for `forgive`. Raises Problem 429."""
        keys = {self._key(kind, value): self._limits[kind] for kind, value in who.items()}

        def edit(attempts: Attempts) -> None:
            now = time.time()
            live = {key: [at for at in attempts.at.get(key, []) if at > now - self._seconds] for key in keys}
            for key, limit in keys.items():
                times = live[key]
                if len(times) >= limit:
                    wait = int(times[-limit] + self._seconds - now) + 1
                    raise Problem(429, "too_many_attempts", "Too many attempts. Try again later.", retry_after=wait)
            for key in keys:
                attempts.at[key] = [*live[key], now]
            if len(attempts.at) > MOST_KEYS:
                latest = sorted(attempts.at.items(), key=lambda item: item[1][-1])
                attempts.at = dict(latest[-MOST_KEYS // 2 :])

        await self.document.change(edit)
        return list(keys)

    async def forgive(self, keys: list[str]) -> None:
        """The attempt was good: the account's count begins anew, the address's is one less."""

        def edit(attempts: Attempts) -> None:
            for key in keys:
                times = attempts.at.get(key, [])
                if key.startswith("account:") or len(times) <= 1:
                    attempts.at.pop(key, None)
                else:
                    attempts.at[key] = times[:-1]

        await self.document.change(edit)

    async def prune(self) -> None:
        def edit(attempts: Attempts) -> None:
            cut = time.time() - self._seconds
            attempts.at = {key: times for key, times in attempts.at.items() if times and times[-1] > cut}

        await self.document.change(edit)

    @staticmethod
    def _key(kind: str, value: str) -> str:
        if kind == "address":
            try:
                address = ipaddress.ip_address(value)
            except ValueError:
                pass
            else:
                # whoever has one IPv6 address has the whole /64
                if address.version == 6:
                    value = str(ipaddress.ip_network((value, 64), strict=False))
        return f"{kind}:{hashlib.sha256(value.encode()).hexdigest()[:24]}"
