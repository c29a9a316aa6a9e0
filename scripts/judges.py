"""Outside judges for the tests: Compose, Caddy, nginx, promtool, unpacked from Debian's packages into .venv/bin.

    python scripts/judges.py

They come out of the lab's Debian image, so that nothing is installed on this machine. Safe to run twice.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from ctl.lab import build, ground, recipes
from ctl.lab.machine import engine, survey

PROGRAMS = {
    "docker-compose": ("docker-compose", "usr/libexec/docker/cli-plugins/docker-compose"),
    "caddy": ("caddy", "usr/bin/caddy"),
    "nginx": ("nginx", "usr/sbin/nginx"),
    "promtool": ("promtool", "usr/bin/promtool"),
}
"""Name → (Debian package, path of the program in it)."""


def main() -> None:
    target = Path(sys.prefix) / "bin"
    missing = [name for name in PROGRAMS if not (target / name).exists()]
    if not missing:
        return
    packages = " ".join(PROGRAMS[name][0] for name in missing)
    print(f"judges: unpacking {packages} into {target}")
    unpack = 'for file in *.deb; do dpkg -x "$file" /judges; done'
    with engine() as client:
        machine = survey()
        image = build.ensure(client, machine, recipes.load(machine, ground.IMAGE), "debian", say=print)
        command = f"cd /tmp && apt-get -qq update && apt-get -qq download {packages} && {unpack}"
        container = client.containers.create(image, ["sh", "-ec", command])
        try:
            container.start()
            if container.wait()["StatusCode"]:
                sys.exit(container.logs().decode())
            for name in missing:
                chunks, _ = container.get_archive(f"/judges/{PROGRAMS[name][1]}")
                with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                    program = tar.extractfile(tar.getmembers()[0])
                    if program is None:
                        sys.exit(f"judges: {name} is no file in its package")
                    (target / name).write_bytes(program.read())
                    (target / name).chmod(0o755)
        finally:
            container.remove(force=True, v=True)


if __name__ == "__main__":
    main()
