"""How long the program takes to start, beside a bare interpreter and other tools of its kind, and what memory it takes.

    .venv/bin/python bench/startup.py [--rounds 15] [--ahead-of-others]

Every command is started anew, in turns. The time is the median from start to exit; the memory is the most that was
resident at once. `ctl plan` renders the sample inventory's first host as if it were bare: no network is in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

import wire

REPOSITORY = Path(__file__).resolve().parent.parent
BESIDE = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import typer'": [sys.executable, "-c", "import typer"],
    "fab --version": [str(BESIDE / "fab"), "--version"],
    "ctl --version": [sys.executable, "-m", "ctl", "--version"],
    "ctl --help": [sys.executable, "-m", "ctl", "--help"],
    "ctl stacks": [sys.executable, "-m", "ctl", "stacks"],
    "ctl plan lab --bare": [sys.executable, "-m", "ctl", "plan", "lab", "--bare"],
}


def once(command: list[str], folder: Path) -> tuple[float, int]:
    """Seconds, and kilobytes at the most."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY),
        "COLUMNS": "100",
    }
    began = monotonic()
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        taken = monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}\n{said.decode()}")
    return taken, used.ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--ahead-of-others", action="store_true", help="for a machine that is not at rest")
    wish = parser.parse_args()
    if wish.ahead_of_others:
        wire.ahead_of_others(os.getpid())
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory(prefix="ctl-bench-") as folder:
        (Path(folder) / "inventory.yaml").write_bytes((REPOSITORY / "inventory.yaml").read_bytes())
        for at in range(wish.rounds + 1):
            for name, command in COMMANDS.items():
                figures = once(command, Path(folder))
                # The first round warms caches.
                if at:
                    found[name].append(figures)
    print("| command | ms | MB |\n|---|---|---|")
    for name, times in found.items():
        milliseconds = statistics.median(seconds for seconds, _ in times) * 1000
        print(f"| `{name}` | {milliseconds:.0f} | {max(size for _, size in times) / 1024:.0f} |")


if __name__ == "__main__":
    main()
