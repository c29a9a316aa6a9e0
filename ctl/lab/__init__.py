"""The lab: disposable servers on this machine, for tests and for trying things.

A lab host is a container that behaves like a fresh VPS: systemd as PID 1, sshd, sudo, an empty Docker storage and
nothing of Docker installed, so that phase 1 has its real work to do. Beside the hosts runs a registry of the lab's
own. It answers to the names of the public registries, so `docker pull caddy:2.11.4-alpine` works in a host and the
stacks need no change.

What is real and what is not. Real: Debian 13 with its package mirrors, systemd, sshd, Docker as Debian packages it;
Caddy, nginx, PostgreSQL, Redis, Squid and rclone (Debian's builds, served under the names and tags that the stacks
pull; each says its version; PostgreSQL's entrypoint is the lab's own); LiteLLM from PyPI, but for the keys that it
would keep in its database, which are played.
Stand-ins, which speak the few routes a deployment touches, say so on their pages, and answer 404 to everything else:
n8n, Flowise, Dify, AnythingLLM, OpenClaw, Signal, Weaviate, and Ollama, whose models say the same words to everything.
A stand-in for the `ngrok` program too: it accepts no token but the lab's own (`SECRETS`) and plays the internet on
127.0.0.1:4041 of the host; and one for Tailscale, which plays the tailnet in the host's network namespace `tailnet`.
`images/README.md` says how to add one.

Importing this module costs next to nothing; the Docker SDK is loaded by the functions that need it. They raise
`MissingTool` when no Docker engine answers, and `CtlError` when the engine refuses something.
"""

from __future__ import annotations

from collections.abc import Callable

from ctl.lab.host import SECRETS, LabHost

__all__ = ["SECRETS", "LabHost", "down", "down_all", "find", "hosts", "reboot", "up"]


def up(name: str = "lab", *, say: Callable[[str], None]) -> LabHost:
    """Give a host of that name that is ready for SSH: a new one, a stopped one started, or the one that runs.

    Builds and starts what is missing (base system, images, registry); the first time takes some minutes, later ones
    seconds. `say` gets one short line per piece of work. Raises UsageError for a name that is not a host name.
    """
    from ctl.lab import servers  # noqa: PLC0415

    return servers.up(name, say=say)


def down(name: str = "lab", *, say: Callable[[str], None]) -> None:
    """Remove one host with its storage. Raises UnknownName."""
    from ctl.lab import servers  # noqa: PLC0415

    servers.down(name, say=say)


def down_all(*, images: bool = False, say: Callable[[str], None]) -> None:
    """Remove every host, the registry and the network; with `images` also what was built and the registry's storage."""
    from ctl.lab import servers  # noqa: PLC0415

    servers.down_all(images=images, say=say)


def hosts() -> tuple[LabHost, ...]:
    """Every host of the lab, running or stopped, by name."""
    from ctl.lab import servers  # noqa: PLC0415

    return servers.hosts()


def find(name: str) -> LabHost:
    """The host of that name. Raises UnknownName."""
    from ctl.lab import servers  # noqa: PLC0415

    return servers.find(name)


def reboot(name: str = "lab") -> None:
    """Shut the host down in order and boot it again; returns when it is ready for SSH. Raises UnknownName."""
    from ctl.lab import servers  # noqa: PLC0415

    servers.reboot(name)
