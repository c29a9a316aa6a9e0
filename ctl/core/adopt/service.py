"""One container of a Compose file → how it stands in a template of ours, and what had to be changed for that."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ctl.core.adopt.compose import Source
from ctl.core.adopt.danger import dangers
from ctl.core.adopt.door import Door
from ctl.core.adopt.images import Known, floats, known, repository
from ctl.core.adopt.mounts import Mounts, Say
from ctl.core.adopt.schema import Entry, Grant, depends, pairs, truth
from ctl.core.errors import InvalidFile

_AS_IS = (
    *(
        "cap_add",
        "cap_drop",
        "cgroup",
        "cgroup_parent",
        "cpus",
        "cpu_shares",
        "cpuset",
        "device_cgroup_rules",
        "devices",
    ),
    *("dns", "dns_opt", "dns_search", "extra_hosts", "gpus", "group_add", "hostname", "init", "ipc", "logging"),
    *("memswap_limit", "oom_score_adj", "pid", "pids_limit", "platform", "post_start", "pre_stop", "privileged"),
    *(
        "read_only",
        "runtime",
        "security_opt",
        "shm_size",
        "stdin_open",
        "stop_signal",
        "storage_opt",
        "sysctls",
        "tmpfs",
    ),
    *("tty", "ulimits", "use_api_socket", "user", "userns_mode", "uts", "working_dir", "annotations", "domainname"),
)
_DROPPED = {
    "build": "the image is pulled, not built",
    "container_name": "containers are found by their service's name",
    "mac_address": "",
    "pull_policy": "",
    "develop": "",
    "attach": "",
    "scale": "one container of each runs",
}
_IMPOSSIBLE = {
    "volumes_from": "name the volumes themselves",
    "external_links": "what is outside of the file is not on its network",
    "provider": "",
    "credential_spec": "",
    "label_file": "write the labels into the file",
    "models": "",
    "isolation": "",
}
_PROXY_LABELS = (
    "traefik.",
    "caddy",
    "com.centurylinklabs.watchtower",
    "diun.",
    "wud.",
    "tsdproxy.",
    "dokploy",
    "coolify",
)


@dataclass(slots=True)
class Ground:
    """What all containers of one import share."""

    name: str
    names: Mapping[str, str]
    """Name in the file → name of the container in the stack."""
    door: Door
    mounts: Mounts
    allowed: Collection[str]
    pins: Mapping[str, str]
    networks: Mapping[str, str]
    """Networks that are taken over: name in the file → name in the stack."""
    configs: Mapping[str, str]
    """Top-level configs that became files: name → path in the template folder."""
    granted: Mapping[str, str]
    """Top-level secrets → the mark that becomes their value."""
    listens: Mapping[str, int]
    """Where each container listens, or 0."""
    pinned: set[str] = field(default_factory=set)


def container(
    name: str, entry: Entry, source: Source, ground: Ground, environment: Mapping[str, str], say: Say
) -> dict[str, Any]:
    """The container's fragment; `environment` is settled already. Raises InvalidFile for what cannot be taken."""
    _refuse(entry, source, ground, say)
    about = known(entry.image or "")
    out: dict[str, Any] = {"image": _image(entry, source, ground, say)}
    for key in ("entrypoint", "command"):
        given = getattr(entry, key)
        if given is not None:
            out[key] = list(given) if isinstance(given, tuple) else given
    if environment:
        out["environment"] = dict(environment)
    for key in _AS_IS:
        given = getattr(entry, key)
        if given not in (None, False, (), {}):
            out[key] = list(given) if isinstance(given, tuple) else given
    mounted = [ground.mounts.take(given, source, at, say) for at, given in enumerate(entry.volumes or ())]
    mounted += _configs(entry, source, ground)
    if mounted := [mount for mount in mounted if mount is not None]:
        out["volumes"] = mounted
    _secrets(entry, out, source, ground)
    _network(name, entry, out, source, ground)
    labels = {key: value or "" for key, value in pairs(entry.labels).items() if not key.startswith(_PROXY_LABELS)}
    if len(labels) < len(pairs(entry.labels)):
        say("changed", "labels for another proxy are left out")
    if labels:
        out["labels"] = labels
    if waits := _depends(entry, source, ground, say):
        out["depends_on"] = waits
    if entry.restart not in (None, "unless-stopped", "always"):
        say(
            "changed",
            f"restart: {'no' if entry.restart is False else entry.restart} is left out: what runs here is kept running",
        )
    out["healthcheck"] = _health(entry, about, ground.listens[name], say)
    if grace := entry.stop_grace_period or about.grace:
        out["stop_grace_period"] = grace
    out["deploy"] = {"resources": _resources(entry, about, say)}
    return out


def _refuse(entry: Entry, source: Source, ground: Ground, say: Say) -> None:
    for danger in dangers(entry):
        ground.mounts.check(danger, source)
    for key, why in _IMPOSSIBLE.items():
        if getattr(entry, key):
            raise source.fault(key, problem="has no place in a stack", hint=why)
    for key, why in _DROPPED.items():
        if getattr(entry, key) not in (None, False):
            say("changed", f"{key} is left out{f': {why}' if why else ''}")
    for word in ("replicas", "mode", "placement", "update_config", "endpoint_mode"):
        given = (entry.deploy or {}).get(word)
        if given not in (None, 1, "1", "replicated"):
            say("changed", f"deploy.{word} is Swarm's, and left out")


def _image(entry: Entry, source: Source, ground: Ground, say: Say) -> str:
    image = entry.image
    if not image:
        hint = "build it, push it to a registry, and name it with image:"
        raise source.fault("build" if entry.build else "image", problem="has no image that can be pulled", hint=hint)
    if not re.fullmatch(r"[a-zA-Z0-9][^\s{}]*", image):
        raise source.fault("image", problem=f"{image!r} is no image")
    pin = ground.pins.get(image) or ground.pins.get(repository(image))
    if pin:
        ground.pinned |= {image, repository(image)}
        whole = f"{repository(image)}{'@' if pin.startswith('sha256:') else ':'}{pin}"
        say("changed", f"{image} is pinned to {pin}")
        return whole
    return image


def floating(
    services: Mapping[str, Entry], sources: Mapping[str, Source], pins: Mapping[str, str]
) -> InvalidFile | None:
    """The complaint about all images that are not pinned, at the line of the first."""
    loose = [
        (name, entry.image)
        for name, entry in services.items()
        if entry.image and floats(entry.image) and not {entry.image, repository(entry.image)} & set(pins)
    ]
    if not loose:
        return None
    images = list(dict.fromkeys(image for _, image in loose))
    flags = " ".join(f"--pin {repository(image)}=VERSION" for image in images)
    return sources[loose[0][0]].fault(
        "image", problem=f"not pinned: {', '.join(images)}", hint=f"say which version you want: {flags}"
    )


def _configs(entry: Entry, source: Source, ground: Ground) -> list[str]:
    mounted = []
    for at, given in enumerate(entry.configs or ()):
        grant = Grant(given) if isinstance(given, str) else given
        if grant.source not in ground.configs:
            raise source.fault("configs", at, problem=f"there is no config {grant.source!r}")
        target = grant.target or f"/{grant.source}"
        mounted.append(f"{ground.configs[grant.source]}:{target}:ro")
    return mounted


def _secrets(entry: Entry, out: dict[str, Any], source: Source, ground: Ground) -> None:
    granted: list[Any] = []
    for at, given in enumerate(entry.secrets or ()):
        grant = Grant(given) if isinstance(given, str) else given
        if grant.source not in ground.granted:
            raise source.fault("secrets", at, problem=f"there is no secret {grant.source!r}")
        more = {key: getattr(grant, key) for key in ("uid", "gid", "mode") if getattr(grant, key) != ""}
        granted.append({"source": f"{ground.name}_{grant.source}", "target": grant.target or grant.source, **more})
        # Named here as well, so that another value makes another container.
        out.setdefault("x-secrets", {})[grant.source] = ground.granted[grant.source]
    if granted:
        out["secrets"] = granted


def _network(name: str, entry: Entry, out: dict[str, Any], source: Source, ground: Ground) -> None:
    """The door is on the stack's network; behind it the parts keep their names among themselves."""
    mode = entry.network_mode or ""
    if mode.startswith("service:"):
        other = mode.removeprefix("service:")
        if other not in ground.names:
            raise source.fault("network_mode", problem=f"there is no service {other!r}")
        out["network_mode"] = f"service:{ground.names[other]}"
        return
    if mode == "none":
        out["network_mode"] = "none"
        return
    if mode and mode not in {"bridge", "default"}:
        raise source.fault("network_mode", problem=f"{mode!r} has no place in a stack", hint="take it out")
    if not ground.networks:
        return
    given = entry.networks if isinstance(entry.networks, dict) else dict.fromkeys(entry.networks or ())
    aliases = [name, *([entry.container_name] if entry.container_name else [])]
    for settings in given.values():
        more = (settings or {}).get("aliases")
        aliases += [str(alias) for alias in more] if isinstance(more, list) else []
    known_by = [alias for alias in dict.fromkeys(aliases) if alias != ground.names[name]]
    own = [ground.networks[network] for network in given if network in ground.networks] or [ground.networks["default"]]
    whole = {network: {"aliases": known_by} if known_by else {} for network in own}
    out["networks"] = {"default": {}, **whole} if name == ground.door.service else whole


def _depends(entry: Entry, source: Source, ground: Ground, say: Say) -> dict[str, Any]:
    waits: dict[str, Any] = {}
    for other, how in depends(entry).items():
        if other not in ground.names:
            if truth(how.required):
                say("changed", f"does not wait for {other}, which is left out")
            continue
        if how.condition == "service_completed_successfully":
            raise source.fault(
                "depends_on",
                other,
                problem=f"waits for {other} to end; a container here is one that keeps running",
                hint=f"take {other} out of the file, and do its work in a step (docs/templates.md)",
            )
        waits[ground.names[other]] = {"condition": how.condition}
    return waits


def _health(entry: Entry, about: Known, port: int, say: Say) -> dict[str, Any]:
    given = entry.healthcheck or {}
    test = given.get("test")
    if test and test not in ("NONE", ["NONE"]) and not truth(given.get("disable") or False):
        return {**given}
    times = {"interval": "15s", "timeout": "5s", "retries": 12, "start_period": "60s", "start_interval": "2s"}
    times |= {key: value for key, value in given.items() if key not in {"test", "disable"}}
    if about.health:
        say("changed", f"a health check was added: {about.health[-1]}")
        return {"test": list(about.health), **times}
    if port:
        say(
            "open",
            f"its health check only sees that port {port} is listened on; give it a better one if the image has one",
        )
        # Without a tool that an image may lack: the kernel's table of sockets, state 0A is LISTEN.
        return {"test": ["CMD-SHELL", f"grep -qE ':{port:04X} 0+:0000 0A' /proc/net/tcp /proc/net/tcp6"], **times}
    say(
        "open",
        "no health check could be worked out: the one that is there only sees that it runs; write healthcheck.test",
    )
    return {"test": ["CMD-SHELL", "test -d /proc/1"], **times}


def _resources(entry: Entry, about: Known, say: Say) -> dict[str, Any]:
    given = (entry.deploy or {}).get("resources")
    resources = {key: dict(v) for key, v in given.items() if isinstance(v, dict)} if isinstance(given, dict) else {}
    limits = resources.setdefault("limits", {})
    if entry.mem_limit and not limits.get("memory"):
        limits["memory"] = str(entry.mem_limit)
    if entry.mem_reservation and not resources.get("reservations", {}).get("memory"):
        resources.setdefault("reservations", {})["memory"] = str(entry.mem_reservation)
    if not limits.get("memory"):
        limits["memory"] = about.memory
        say("changed", f"the memory limit {about.memory} is ours; change it where it does not fit")
    return resources


Rehost = Callable[[str, str], str]


def rehost(names: Mapping[str, str]) -> Rehost:
    """(key, text) → the text with the names of other containers as they are in the stack, where a host name stands."""
    if not names:
        return lambda _, text: text
    any_name = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    inside = re.compile(
        rf"(?:(?<=://)|(?<=@)|(?<![\w.:/@-]))(?P<name>{any_name})(?=:\d)|(?:(?<=://)|(?<=@))(?P<bare>{any_name})(?=[/?]|$)"
    )
    host_key = re.compile(r".*(HOST|HOSTNAME|SERVER|ADDR|ADDRESS|ENDPOINT|URL|URI|BROKER)S?", re.IGNORECASE)

    def change(key: str, text: str) -> str:
        if host_key.fullmatch(key) and text in names:
            return names[text]
        return inside.sub(lambda found: names[found["name"] or found["bare"]], text)

    return change
