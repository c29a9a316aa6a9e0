"""Questions to a host that change nothing, and what it means when it does not answer them."""

from __future__ import annotations

import io
import tarfile
import time

from ctl.core import probe, script
from ctl.core.errors import ConnectionLost, CtlError, HostUnfit, RunFailed, Unreachable
from ctl.core.ports import Result, Transport

PROBE_SECONDS = 60
ASK_PAUSES = (0.2, 0.5, 1, 2, 5)
"""Seconds between attempts to ask again what a lost connection left without an answer."""


def ask(transport: Transport, text: str) -> Result:
    """Run sh text that changes nothing. A connection that is lost meanwhile is made again; one that never stood is not.

    Raises Unreachable.
    """
    pauses, stood = iter(ASK_PAUSES), False
    while True:
        try:
            return transport.run(script.as_root(text), timeout=PROBE_SECONDS)
        except Unreachable as error:
            stood = stood or isinstance(error, ConnectionLost)
            pause = next(pauses, None) if stood else None
            if pause is None:
                raise
            time.sleep(pause)


def peer(transport: Transport) -> str:
    """The address from which the host sees us come; nothing where it is no SSH. Raises Unreachable."""
    # As ourselves: sudo takes the variable away.
    said = transport.run('echo "${SSH_CONNECTION%% *}"', timeout=PROBE_SECONDS)
    return said.stdout.decode("ascii", "replace").strip()


def untar(data: bytes) -> dict[str, bytes]:
    """Regular files of a tar by name. What a host sends is bounded by the transport."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for entry in tar:
                if entry.isfile() and (file := tar.extractfile(entry)):
                    found[entry.name] = file.read()
    except tarfile.TarError as error:
        raise RunFailed(f"the host sent no archive: {error}") from error
    return found


def refused(result: Result, host: str) -> CtlError:
    """Why the host did not run our script as root at all."""
    said = probe.clean(result.stderr.decode("utf-8", "replace").strip(), 500)
    if "No space left on device" in said:
        return HostUnfit(f"there is no space left on {host}: {said.splitlines()[0]}", hint="free some room there")
    if "password is required" in said or "terminal is required" in said:
        return HostUnfit(f"sudo on {host} wants a password", hint="allow it without (NOPASSWD), or deploy as root")
    if "sudo" in said and ("not found" in said or result.code == 127):
        return HostUnfit(f"there is no sudo on {host}", hint="deploy as root, or install sudo")
    if "not in the sudoers" in said or "not allowed" in said:
        return HostUnfit(
            f"this user may not use sudo on {host}", hint="add the user to the sudo group, or deploy as root"
        )
    return RunFailed(f"{host} did not run the script (exit code {result.code}): {said or 'it said nothing'}")
