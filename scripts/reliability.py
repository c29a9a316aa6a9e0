"""docs/reliability.json, which the fault suite writes → docs/reliability.md. Takes no arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
ORDER = (
    "first-cut",
    "upgrade-cut",
    "image-cut",
    "silence",
    "client-killed",
    "two",
    "two-wait",
    "disk-upload",
    "disk-pull",
    "dockerd-killed",
    "registry-gone",
    "clock",
    "power-cut",
    "first-power-cut",
    "first-reboot",
    "unhealthy",
    "lock",
)

HEAD = """# What breaks, and what is left then

Written by `scripts/reliability.py` from [reliability.json](reliability.json), which the fault suite writes: `make
faults` makes both anew (about an hour, two lab hosts at a time). No figure here was written by hand.

{summary}

Every trial runs the program as a person starts it, against a lab host: Debian 13 with systemd, sshd and Docker of its
own, in a container. "Equal" means: the digests, modes and owners of all managed files, what is recorded as applied,
the stamps of the steps, the fingerprints, images and health of the containers, the units, the packages and the current
release are those of a host on which nothing was disturbed; no half-written file, folder or release is there; nobody
holds the lock. "Told once" means: the events that the client was told are those of the log on the host, one by one.

| fault | expected | trials | as expected | seconds each (least, median, most) | measured (UTC), on commit |
|---|---|--:|--:|---|---|
"""

TAIL = """
## What this does not show

- A power cut here kills every process of the host at once. The kernel below runs on, so that nothing is lost that was
  written but not yet on the disk.
- The clock is the machine's own and cannot be moved for one host: libfaketime shows another time to programs that are
  linked to the C library (the shell, apt, curl, sshd), not to Docker.
- n8n and Flowise are the lab's stand-ins, Caddy is the real one.
- Faults in backups and database upgrades have a suite of their own.
"""


def table(rows: dict[str, Any]) -> str:
    keys = [key for key in ORDER if key in rows] + sorted(rows.keys() - set(ORDER))
    lines = []
    for key in keys:
        row = rows[key]
        good = row["trials"] - len(row["failures"])
        fault = row["fault"] + (
            f" <br>*{'; '.join(note for note in row['notes'] if note)}*" if any(row["notes"]) else ""
        )
        mark = str(good) if not row["failures"] else f"**{max(good, 0)}**"
        seconds = ", ".join(map(str, row["seconds"]))
        cells = (fault, row["expected"], row["trials"], mark, seconds, f"{row['measured']}, {row['commit']}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def failures(rows: dict[str, Any]) -> str:
    failed = {key: row for key, row in rows.items() if row["failures"]}
    if not failed:
        return ""
    lines = ["", "## Trials that did not end as expected", ""]
    for key, row in failed.items():
        lines += [f"- {row['fault']} (`{key}`, measured on {row['commit']}):"]
        lines += ["  - " + failure.replace("\n", " ").replace("|", "\\|") for failure in row["failures"]]
    return "\n".join(lines) + "\n"


def summary(rows: dict[str, Any]) -> str:
    trials = sum(row["trials"] for row in rows.values())
    bad = sum(len(row["failures"]) for row in rows.values())
    times = sorted(row["measured"] for row in rows.values())
    commits = sorted({row["commit"] for row in rows.values()})
    seeds = sorted({row["seed"] for row in rows.values()})
    minutes = sum(row["total"] for row in rows.values()) / 60
    where = f"commit {commits[0]}"
    if len(commits) > 1:
        where = f"{len(commits)} commits, in runs of parts of the suite, of which the last one counts for each row"
    return (
        f"{trials} trials, {trials - bad} of them as expected; {minutes:.0f} minutes of trials in all. Measured from\n"
        f"{times[0]} to {times[-1]} UTC, on {where}.\n"
        f"The random points come from the seed {', '.join(map(str, seeds))} (`CTL_FAULTS_SEED`). A `+` behind a commit:"
        " with changes that were not committed yet."
    )


def main() -> None:
    rows = json.loads((DOCS / "reliability.json").read_text())
    text = HEAD.format(summary=summary(rows)) + table(rows) + failures(rows) + TAIL
    (DOCS / "reliability.md").write_text(text)


if __name__ == "__main__":
    main()
