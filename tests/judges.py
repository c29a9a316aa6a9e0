"""Other programs as judges of what was rendered. A test whose judge is not on this machine is skipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ctl.core.release import Release


def tool(variable: str, *names: str) -> str:
    """The path of a program that a variable names, or that stands beside Python or on the PATH; skips without one."""
    places = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = os.environ.get(variable) or next(filter(None, (shutil.which(name, path=places) for name in names)), None)
    return found or pytest.skip(f"no {names[0]} on the PATH, and {variable} names none")


def compose_command() -> list[str]:
    places = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if found := os.environ.get("CTL_COMPOSE") or shutil.which("docker-compose", path=places):
        return [found]
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    pytest.skip("no docker-compose on the PATH, no compose plugin, and CTL_COMPOSE names none")


def judged(*command: str | Path, **options: Any) -> str:
    """What the program says; it has to be content."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def unpacked(release: Release, folder: Path) -> Path:
    """Write the release's files under a folder that stands for the host's root."""
    for file in release.files:
        path = folder / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    return folder


def compose_config(release: Release, host: Path) -> dict[str, Any]:
    """The project as Compose understands it: all containers of the release, and no others."""
    text = judged(
        *compose_command(),
        *("-f", "compose.yaml", "config", "--format", "json"),
        cwd=host / release.root.lstrip("/"),
        env={"HOME": "/nonexistent", "PATH": os.environ["PATH"]},
    )
    project: dict[str, Any] = json.loads(text[text.index("{") :])
    assert project["name"] == release.stack
    assert sorted(project["services"]) == sorted(container.name for container in release.containers)
    return project


def caddy_validate(release: Release, host: Path, tmp_path: Path) -> None:
    caddy = tool("CTL_CADDY", "caddy")
    config = tmp_path / "Caddyfile"
    # The one thing that validating does is to open the log.
    source = host / release.root.lstrip("/") / "proxy/conf/Caddyfile"
    text = source.read_text().replace("/var/log/caddy/", f"{tmp_path}/")
    # Debian 12's Caddy has two other words for it.
    if judged(caddy, "version").startswith(("2.6", "v2.6")):
        text = text.replace("request_buffers 1MiB", "buffer_requests")
    config.write_text(text)
    said = judged(caddy, "validate", "--config", config, "--adapter", "caddyfile", env={"HOME": str(tmp_path)})
    assert "Valid configuration" in said


def nginx_test(release: Release, host: Path, tmp_path: Path) -> None:
    nginx, openssl = tool("CTL_NGINX", "nginx"), tool("CTL_OPENSSL", "openssl")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x")
    judged(openssl, "req", "-x509", *key, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "fullchain.pem")
    text = (host / release.root.lstrip("/") / "proxy/conf/nginx.conf").read_text()
    for place, own in {
        "/etc/nginx/tls/": f"{tmp_path}/",
        "/run/": f"{tmp_path}/",
        "/dev/std": f"{tmp_path}/std",
    }.items():
        text = text.replace(place, own)
    # Where it would keep what is too large for its memory, which is another folder in every build.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    (tmp_path / "nginx.conf").write_text(text.replace("http {", "http {" + own, 1))
    said = judged(nginx, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert "warn" not in said, said


def shellcheck(release: Release, tmp_path: Path) -> None:
    program = tool("CTL_SHELLCHECK", "shellcheck")
    paths = []
    for file in release.files:
        if file.content.startswith(b"#!/bin/sh") and not file.path.endswith("/backups/backup"):
            paths.append(tmp_path / file.path.replace("/", "_"))
            paths[-1].write_bytes(file.content)
    for step in release.steps:
        path = tmp_path / f"{step.id.replace('/', '_')}.sh"
        path.write_text(step.text)
        paths.append(path)
    # The functions of a step are called by the script that it stands in.
    judged(program, "-s", "sh", "--exclude=SC2317,SC2329", *paths)
