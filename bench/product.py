"""A small product for the benchmark: 40 files in 10 folders, 5 steps, no container.

The folder that is made is the program with templates of its own: `ctl` (a link to the program), `templates` and
`stacks`. With it at the head of PYTHONPATH, `python -m ctl` is the real command line around that product.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TREE = "/srv/ctl-bench"
ROOT = "/opt/bench"
FILES, FOLDERS, STEPS, SIZE = 40, 10, 5, 1500
MODES = ("0644", "0640", "0600", "0755")
REPLACED = ("phases", "services", "proxy", "tunnel")
WORDS = (REPOSITORY / "LICENSE").read_text().split()


def paths() -> list[str]:
    return [f"{TREE}/folder-{at % FOLDERS}/file-{at:02}.conf" for at in range(FILES)]


def modes() -> list[str]:
    return [MODES[at % len(MODES)] for at in range(FILES)]


def text(at: int) -> str:
    """The content of a file as its template has it; the first one says which edition it is."""
    words = random.Random(at)  # the same at every run
    lines = ["edition = {{ vars.edition }}" if at == 0 else "root = {{ root }}"]
    while sum(len(line) + 1 for line in lines) < SIZE:
        lines.append(f"{words.choice(WORDS)} = {' '.join(words.choices(WORDS, k=8))}")
    return "\n".join(lines)[:SIZE] + "\n"


def make(folder: Path) -> Path:
    """The product in an empty folder."""
    (folder / "ctl").symlink_to(REPOSITORY / "ctl")
    templates = folder / "templates"
    phases, proxy = templates / "phases", templates / "proxy" / "caddy"
    shutil.copytree(REPOSITORY / "templates", templates, ignore=shutil.ignore_patterns(*REPLACED))
    declared = "".join(
        f'  files{path}: {{mode: "{mode}"}}\n' for path, mode in zip(paths(), modes(), strict=True) if mode != "0644"
    )
    _write(proxy / "x-ctl.yaml", f"summary: no proxy, but the files of the benchmark\nfiles:\n{declared}")
    for at, path in enumerate(paths()):
        _write(proxy / f"files{path}.j2", text(at))
    for at in range(STEPS):
        mark = f"{TREE}/done-{at}"
        _write(
            phases / "3-configure" / f"{at}0-mark.sh.j2",
            f"# Leave mark {at}\ncheck() {{ [ -e {mark} ]; }}\napply() {{ touch {mark}; }}\n",
        )
    _write(phases / "x-ctl.yaml", "summary: the steps of the benchmark\n")
    _write(
        folder / "stacks" / "bench" / "stack.yaml",
        """name: bench
summary: files and steps to time
network: {subnet: 172.30.0.0/16}
proxy: caddy
access: {kind: internal}
doors: {domain: localhost}
vars: {edition: {about: what the first file says, default: "0"}}
""",
    )
    return folder


def plain(folder: Path) -> Path:
    """The same files as they are to be on the host, for tar."""
    for at, (path, mode) in enumerate(zip(paths(), modes(), strict=True)):
        target = folder / path.lstrip("/")
        _write(target, text(at).replace("{{ vars.edition }}", "0").replace("{{ root }}", ROOT))
        target.chmod(int(mode, 8))
    return folder


def project(folder: Path, address: str, key: Path) -> Path:
    """A project whose only host is at that address."""
    _write(
        folder / "inventory.yaml",
        f"hosts:\n  bench: {{address: {address}, user: root, key: {key}, stack: bench}}\n",
    )
    return folder


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
