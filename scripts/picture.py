"""The terminal picture of the README: a real plan and a real deploy of a bare lab host, exported as SVG by Rich.

python scripts/picture.py docs/deploy.svg
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HOST = "lab-picture"
WIDTH = 110
INVENTORY = f"""\
hosts:
  {HOST}:
    stack: lean-llm
    vars: {{docker_source: distribution, ngrok_domain: lab.ngrok-free.app, address: 0.0.0.0, https_port: 8443}}
"""


def run(folder: Path, *words: str) -> str:
    """What a terminal would show of one command, without what moves on it."""
    environment = os.environ | {
        "FORCE_COLOR": "1",
        "TTY_INTERACTIVE": "0",
        "COLUMNS": str(WIDTH),
        "TERM": "xterm-256color",
    }
    done = subprocess.run(
        [sys.executable, "-m", "ctl", "--project", str(folder), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout)
    # A line that begins with "…" is replaced by its result on a terminal.
    return "".join(
        line for line in done.stdout.splitlines(keepends=True) if not Text.from_ansi(line).plain.startswith("  …")
    )


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inventory.yaml").write_text(INVENTORY)
        run(folder, "lab", "up", HOST)
        try:
            shown = [(f"ctl deploy {HOST} --yes", run(folder, "deploy", HOST, "--yes"))]
            shown += [("ctl plan --set timezone=Europe/Berlin", run(folder, "plan", "--set", "timezone=Europe/Berlin"))]
            shown += [("ctl status", run(folder, "status"))]
        finally:
            run(folder, "lab", "down", HOST)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for command, output in shown:
        console.print(Text(f"$ {command}".replace(HOST, "prod-1"), "bold"))
        console.print(Text.from_ansi(output.replace(HOST, "prod-1").rstrip("\n")))
        console.print()
    target.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(target), title="ctl")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
