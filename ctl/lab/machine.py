"""What the lab takes from this machine: its engine, package mirrors and certificate authorities, and a place for state.

Nothing of it is written into the repository; the images get it when they are built.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from ctl.core.errors import CtlError, MissingTool

AUTHORITIES = Path("/usr/local/share/ca-certificates")
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

# The settings of apt without which a mirror may not be usable from inside an image either.
APT_SETTINGS = re.compile(r"Acquire::(Check-Valid-Until|Check-Date|Retries|https?::Proxy(::\S+)?|ForceIPv[46]) ")

# A build streams its progress, but one silent `apt-get` may take minutes.
ENGINE_TIMEOUT = 600


@dataclass(frozen=True, slots=True)
class Machine:
    """What an image needs to know of this machine in order to install packages from inside."""

    debian: str
    """Mirror of Debian, or empty: whatever Debian's own tools use."""
    security: str
    apt_settings: tuple[str, ...]
    """Lines for apt.conf."""
    authorities: tuple[tuple[str, bytes], ...]
    """File name and PEM text of each certificate authority that was added to this machine by hand."""
    bundle: bytes
    """PEM text of every authority this machine trusts; empty if it keeps none where Debian does."""


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """A client of this machine's engine. The one place where the SDK's errors become this program's."""
    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT)
        client.ping()
    except (DockerException, RequestException) as error:
        raise MissingTool(f"no Docker engine answers: {_reason(error)}", hint="sudo scripts/engine.sh") from error
    try:
        yield client
    except APIError as error:
        raise CtlError(f"the Docker engine refused: {error.explanation or error}") from error
    except (DockerException, RequestException) as error:
        raise CtlError(f"the Docker engine failed: {_reason(error)}") from error
    finally:
        client.close()


def _reason(error: Exception) -> str:
    """The innermost cause: the SDK wraps 'No such file or directory' into four layers of its own."""
    found = re.findall(r"(?:Error\(\d+, '|\[Errno \d+\] )([^']+)", str(error))
    return found[-1] if found else str(error)


def state() -> Path:
    """The folder for keys and certificates, made on first use: $XDG_STATE_HOME/ctl/lab, 0700."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(home) / "ctl" / "lab"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lab for oneself: two `up` at the same time would pick the same port and build the same image twice."""
    with (state() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def survey() -> Machine:
    """Look at this machine. Reads files and asks apt."""
    debian, security = _mirrors(
        _ask("apt-get", "indextargets", "--format", "$(REPO_URI)|$(LABEL)", "Created-By: Packages")
    )
    settings = tuple(line for line in _ask("apt-config", "dump").splitlines() if APT_SETTINGS.match(line))
    authorities = tuple((path.name, path.read_bytes()) for path in sorted(AUTHORITIES.rglob("*.crt")))
    bundle = BUNDLE.read_bytes() if authorities and BUNDLE.is_file() else b""
    return Machine(debian, security, settings, authorities, bundle)


def _mirrors(targets: str) -> tuple[str, str]:
    """The mirrors of Debian and of its security updates, from apt's lines `URI|label of the archive`.

    An Ubuntu machine names none of Debian; nor does one whose lists were never fetched, where the labels are empty. The
    lab then uses those that Debian's own tools and images come with.
    """
    by_label = {label: uri.rstrip("/") for uri, _, label in (line.partition("|") for line in targets.splitlines())}
    return by_label.get("Debian", ""), by_label.get("Debian-Security", "")


def _ask(*command: str) -> str:
    """What a program of this machine prints; nothing if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    except OSError:
        return ""
