"""What in a Compose file would give a container the host, or a part of it: refused unless it is allowed by name."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ctl.core.adopt.schema import Entry, truth

_CAPABILITIES = frozenset(
    """ALL SYS_ADMIN SYS_MODULE SYS_PTRACE SYS_RAWIO SYS_BOOT SYS_TIME NET_ADMIN DAC_READ_SEARCH MAC_ADMIN
    MAC_OVERRIDE BPF PERFMON SYSLOG LINUX_IMMUTABLE AUDIT_CONTROL SYS_PACCT""".split()  # noqa: SIM905
)
SYSTEM = frozenset(
    """/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /proc /root /run /sbin /sys /usr /var /var/lib /var/lib/docker
    /var/log /var/run""".split()  # noqa: SIM905
)
"""The host's own folders. What is under them is as bad, but for a few places that hold people's data."""
_DATA = ("/home/", "/var/lib/", "/var/log/")
_SOCKET = re.compile(r"(docker|containerd|podman|crio)[\w.-]*\.sock$")


@dataclass(frozen=True, slots=True)
class Danger:
    """`name` is what allows it; `path` leads to it inside the service; `never` is where no word can allow it."""

    name: str
    problem: str
    path: tuple[str | int, ...]
    never: str = ""


def dangers(entry: Entry) -> Iterator[Danger]:
    """Of a service without its mounts. Its texts hold no variables any more."""
    if truth(entry.privileged):
        yield Danger("privileged", "is privileged: its root is the host's", ("privileged",))
    if truth(entry.use_api_socket):
        yield Danger("use_api_socket", "gets the engine's socket, which is root on the host", ("use_api_socket",))
    if entry.network_mode == "host":
        never = "the proxy is the only door: take network_mode out, and the stack's network is its network"
        yield Danger("network_mode", "shares the host's network", ("network_mode",), never)
    for key, what in (("pid", "processes"), ("ipc", "memory"), ("uts", "name"), ("userns_mode", "users")):
        if getattr(entry, key) == "host":
            yield Danger(key, f"shares the host's {what}", (key,))
    if entry.cgroup == "host" or entry.cgroup_parent:
        key = "cgroup" if entry.cgroup else "cgroup_parent"
        yield Danger(key, "shares the host's control groups", (key,))
    for at, capability in enumerate(entry.cap_add or ()):
        name = capability.upper().removeprefix("CAP_")
        if name in _CAPABILITIES:
            yield Danger(name, f"has the capability {name}", ("cap_add", at))
    for at, device in enumerate(entry.devices or ()):
        name = device.split(":")[0] if isinstance(device, str) else str(device.get("source", "devices"))
        yield Danger(name, f"has the host's device {name}", ("devices", at))
    if entry.device_cgroup_rules:
        yield Danger("device_cgroup_rules", "makes devices of the host its own", ("device_cgroup_rules",))
    for at, option in enumerate(entry.security_opt or ()):
        if re.search(r"unconfined|label[:=]disable|no-new-privileges[:=]false|systempaths", option):
            yield Danger(option, f"has a protection taken off: {option}", ("security_opt", at))


def mount(path: str) -> Danger:
    """For a folder or a file of the host, as an absolute path."""
    whole = posixpath.normpath(path)
    if _SOCKET.search(whole):
        return Danger(whole, f"mounts {whole}: who has the engine's socket is root on the host", ())
    top = "/" + whole.split("/")[1] if whole.count("/") > 1 else whole
    if whole in SYSTEM or (top in SYSTEM and not whole.startswith(_DATA)):
        return Danger(whole, f"mounts {whole}, which is the host's own", ())
    return Danger(whole, f"mounts {whole} of the host, outside of the service's own folder", ())
