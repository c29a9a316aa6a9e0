"""Debian 13 itself, the base of every image: pulled where a registry answers, made by debootstrap where none does."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from ctl.core.errors import CtlError, MissingTool
from ctl.lab.machine import Machine
from ctl.lab.recipes import GROUND, NAMESPACE

IMAGE = f"{NAMESPACE}/{GROUND}:trixie"
PUBLIC = ("debian", "trixie-slim")
NOT_PULLED = "debian:trixie-slim cannot be pulled"


def ensure(client: docker.DockerClient, machine: Machine, *, say: Callable[[str], None]) -> None:
    """Have the image `IMAGE`. Raises MissingTool when it can be neither pulled nor made here."""
    try:
        client.images.get(IMAGE)
        return
    except ImageNotFound:
        pass
    try:
        pulled = client.images.pull(PUBLIC[0], tag=PUBLIC[1])
    except APIError:
        _bootstrap(client, machine, say=say)
    else:
        say("pulled debian:trixie-slim")
        pulled.tag(IMAGE)


def _bootstrap(client: docker.DockerClient, machine: Machine, *, say: Callable[[str], None]) -> None:
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise MissingTool(f"{NOT_PULLED}, and debootstrap is not installed", hint="sudo scripts/engine.sh")
    if os.geteuid() != 0:
        raise MissingTool(f"{NOT_PULLED}, and debootstrap needs root", hint="run this once as root")
    say("no registry answers: making Debian 13 with debootstrap, about a minute")
    with tempfile.TemporaryDirectory(prefix="ctl-lab-") as scratch:
        tree = Path(scratch) / "tree"
        command = [program, "--variant=minbase", "--include=ca-certificates", "trixie", str(tree)]
        command += [machine.debian] if machine.debian else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:]
            raise CtlError(f"debootstrap failed: {' '.join(last)}")
        for leftover in (*tree.glob("var/cache/apt/archives/*.deb"), *tree.glob("var/lib/apt/lists/*_*")):
            leftover.unlink()
        # Straight from tar into the engine: the tree is 150 MB and need not be held in memory.
        with subprocess.Popen(["tar", "-C", str(tree), "-c", "."], stdout=subprocess.PIPE) as tar:
            client.api.import_image_from_stream(tar.stdout, *IMAGE.split(":"))
