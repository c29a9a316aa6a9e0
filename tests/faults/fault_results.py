"""What the suite saw, written down as it goes: docs/reliability.json, of which scripts/reliability.py makes a table."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SEED = int(os.environ.get("CTL_FAULTS_SEED", "3"))
SHARE = float(os.environ.get("CTL_FAULTS_SHARE", "1"))
"""Which part of the trials is made: for trying the suite itself."""


def trials(number: int) -> range:
    return range(max(1, round(number * SHARE)))


class Case:
    """One kind of fault. A trial that fails is written down, and the next one is made."""

    def __init__(self, fault: str, expected: str, seed: int, keep: Callable[[Case], None]) -> None:
        self.fault, self.expected, self.seed, self.keep = fault, expected, seed, keep
        self.random = random.Random(seed)
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self.notes: list[str] = []

    @contextlib.contextmanager
    def trial(self, point: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            self.failures.append(f"{point}: {type(error).__name__}: {first[:300]}")
            print(f"--- {point}\n{error}")
        finally:
            self.seconds.append(time.monotonic() - began)
            self.keep(self)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class Results:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.commit = self._git("rev-parse", "--short", "HEAD")
        if self._git("status", "--porcelain", "--", ".", ":!docs"):
            self.commit += "+"

    def _git(self, *words: str) -> str:
        folder = self.file.parent.parent
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=folder).stdout.strip()

    @contextlib.contextmanager
    def case(self, key: str, fault: str, expected: str) -> Iterator[Case]:
        """Keep the row of this case; fails at the end if a trial did."""
        case = Case(fault, expected, SEED, lambda case: self._keep(key, case))
        try:
            yield case
        except Exception as error:
            case.failures.append(f"before or between the trials: {str(error).strip()[:300]}")
            raise
        finally:
            self._keep(key, case)
        assert not case.failures, "\n".join(case.failures)

    def _keep(self, key: str, case: Case) -> None:
        row = {
            "fault": case.fault,
            "expected": case.expected,
            "trials": len(case.seconds),
            "failures": case.failures,
            "notes": case.notes,
            "seconds": [round(min(case.seconds, default=0)), round(statistics.median(case.seconds or [0])),
                        round(max(case.seconds, default=0))],
            "total": round(sum(case.seconds)),
            "seed": case.seed,
            "measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
            "commit": self.commit,
        }  # fmt: skip
        self.file.parent.mkdir(exist_ok=True)
        with self.file.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            rows = json.loads(file.read() or "{}")
            rows[key] = row
            file.seek(0)
            file.truncate()
            file.write(json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
