"""What a Compose file may say, as people write it: every form of every key, and the way to one form of each.

What is `Any` is handed on as it is, and judged by Compose. An unknown key is refused by the decoder, with its line.
"""

from __future__ import annotations

from typing import Any

import msgspec

Scalar = str | int | float | bool | None
Strings = str | tuple[str, ...] | None
Pairs = dict[str, Scalar] | tuple[str, ...] | None


class Depends(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    condition: str = "service_started"
    restart: bool | str = False
    required: bool | str = True


class EnvFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    required: bool | str = True
    format: str = ""


class Extends(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    service: str
    file: str = ""


class Include(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str | tuple[str, ...]
    project_directory: str = ""
    env_file: Strings = None


class PortSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target: int | str
    published: int | str | None = None
    host_ip: str = ""
    protocol: str = "tcp"
    app_protocol: str = ""
    mode: str = ""
    name: str = ""


class MountSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: str
    target: str
    source: str = ""
    read_only: bool | str = False
    bind: dict[str, Any] = {}
    volume: dict[str, Any] = {}
    tmpfs: dict[str, Any] = {}
    image: dict[str, Any] = {}
    consistency: str = ""


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a service mounts a config or a secret."""

    source: str
    target: str = ""
    uid: str | int = ""
    gid: str | int = ""
    mode: str | int = ""


class Blob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A config or a secret at the top of the file."""

    file: str | None = None
    content: str | None = None
    environment: str | None = None
    external: bool | str | dict[str, Any] = False
    name: str | None = None
    labels: Any = None
    driver: Any = None
    driver_opts: Any = None
    template_driver: Any = None


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service as people write it. What is `Any` is handed on as it is, and judged by Compose."""

    image: str | None = None
    build: str | dict[str, Any] | None = None
    command: str | tuple[Scalar, ...] | None = None
    entrypoint: str | tuple[Scalar, ...] | None = None
    container_name: str | None = None
    environment: Pairs = None
    env_file: str | EnvFile | tuple[str | EnvFile, ...] | None = None
    ports: tuple[int | str | PortSpec, ...] | None = None
    expose: tuple[int | str, ...] | None = None
    volumes: tuple[str | MountSpec, ...] | None = None
    networks: dict[str, dict[str, Any] | None] | tuple[str, ...] | None = None
    network_mode: str | None = None
    depends_on: dict[str, Depends] | tuple[str, ...] | None = None
    healthcheck: dict[str, Any] | None = None
    deploy: dict[str, Any] | None = None
    labels: Pairs = None
    links: tuple[str, ...] | None = None
    profiles: tuple[str, ...] | None = None
    restart: str | bool | None = None
    configs: tuple[str | Grant, ...] | None = None
    secrets: tuple[str | Grant, ...] | None = None
    extends: str | Extends | None = None
    mem_limit: str | int | None = None
    mem_reservation: str | int | None = None
    scale: int | str | None = None
    privileged: bool | str = False
    cap_add: tuple[str, ...] | None = None
    devices: tuple[str | dict[str, Any], ...] | None = None
    device_cgroup_rules: tuple[str, ...] | None = None
    security_opt: tuple[str, ...] | None = None
    pid: str | None = None
    ipc: str | None = None
    uts: str | None = None
    userns_mode: str | None = None
    cgroup: str | None = None
    cgroup_parent: str | None = None
    use_api_socket: bool | str = False
    volumes_from: tuple[str, ...] | None = None
    external_links: tuple[str, ...] | None = None
    provider: Any = None
    credential_spec: Any = None
    label_file: Any = None
    models: Any = None
    runtime: str | None = None
    annotations: Any = None
    attach: Any = None
    blkio_config: Any = None
    cap_drop: Any = None
    cpu_count: Any = None
    cpu_percent: Any = None
    cpu_period: Any = None
    cpu_quota: Any = None
    cpu_rt_period: Any = None
    cpu_rt_runtime: Any = None
    cpu_shares: Any = None
    cpus: Any = None
    cpuset: Any = None
    develop: Any = None
    dns: Any = None
    dns_opt: Any = None
    dns_search: Any = None
    domainname: Any = None
    extra_hosts: Any = None
    gpus: Any = None
    group_add: Any = None
    hostname: str | None = None
    init: Any = None
    isolation: Any = None
    logging: Any = None
    mac_address: Any = None
    mem_swappiness: Any = None
    memswap_limit: Any = None
    oom_kill_disable: Any = None
    oom_score_adj: Any = None
    pids_limit: Any = None
    platform: Any = None
    post_start: Any = None
    pre_stop: Any = None
    pull_policy: Any = None
    pull_refresh_after: Any = None
    read_only: Any = None
    shm_size: Any = None
    stdin_open: Any = None
    stop_grace_period: Any = None
    stop_signal: Any = None
    storage_opt: Any = None
    sysctls: Any = None
    tmpfs: str | tuple[str, ...] | None = None
    tty: Any = None
    ulimits: Any = None
    user: Any = None
    working_dir: Any = None


class Top(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    services: dict[str, Entry] = {}
    volumes: dict[str, dict[str, Any] | None] | None = None
    networks: dict[str, dict[str, Any] | None] | None = None
    configs: dict[str, Blob] | None = None
    secrets: dict[str, Blob] | None = None
    include: tuple[str | Include, ...] | None = None
    models: Any = None
    name: str = ""
    version: Any = None


def env_files(entry: Entry) -> tuple[EnvFile, ...]:
    given = entry.env_file
    files = () if given is None else given if isinstance(given, tuple) else (given,)
    return tuple(EnvFile(file) if isinstance(file, str) else file for file in files)


def pairs(given: Pairs) -> dict[str, str | None]:
    """`environment` or `labels` in either form → texts by name; None where no value is given."""
    if given is None:
        return {}
    if isinstance(given, dict):
        return {name: text(value) for name, value in given.items()}
    split = [item.partition("=") for item in given]
    return {name: value if mark else None for name, mark, value in split}


def text(value: Scalar) -> str | None:
    """A scalar as Compose hands it to a container."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value).removesuffix(".0")


def truth(value: bool | str) -> bool:
    return value if isinstance(value, bool) else value.strip().lower() in {"true", "1", "yes", "y", "on"}


def depends(entry: Entry) -> dict[str, Depends]:
    given = entry.depends_on or {}
    return dict(given) if isinstance(given, dict) else {name: Depends() for name in given}
