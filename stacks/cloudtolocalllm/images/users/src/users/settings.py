"""What the service is told: see the table in README.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from webservice.environment import Environment

from .shapes import BLOCK, Stack


@dataclass(frozen=True)
class Settings:
    stack: Stack
    docker_url: str
    docker_calls: int
    starts_at_once: int
    start_seconds: int
    spares: int
    proxy_image: str
    portal_origin: str
    subnets: IPv4Network
    streaming_key: str
    manager_key: str
    door_url: str
    idle_seconds: int
    health_seconds: float
    sweep_seconds: float
    door_seconds: float
    drain_delay_seconds: int
    drain_seconds: int
    host: str
    port: int
    log_level: str


def from_environment(variables: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError with all that is wrong."""
    env = Environment(variables)
    subnets = env.text("USER_SUBNETS", "10.201.0.0/16")
    try:
        pool = IPv4Network(subnets)
        if pool.prefixlen > BLOCK:
            raise ValueError
    except ValueError:
        env.refuse(f"USER_SUBNETS has to be a network such as 10.201.0.0/16, not {subnets!r}")
        pool = IPv4Network("0.0.0.0/0")
    settings = Settings(
        stack=Stack(env.text("STACK", "cloudtolocalllm")),
        docker_url=env.url("DOCKER_HOST", "tcp://docker-proxy:2375", ("tcp", "unix")),
        docker_calls=env.whole("DOCKER_CALLS", 6, least=1, most=64),
        starts_at_once=env.whole("STARTS_AT_ONCE", 4, least=1, most=64),
        start_seconds=env.whole("START_SECONDS", 30, least=1, most=300),
        spares=env.whole("SPARES", 0, most=64),
        proxy_image=env.text("PROXY_IMAGE"),
        portal_origin=env.url("PORTAL_ORIGIN", None, ("https", "http")),
        subnets=pool,
        streaming_key=env.text("STREAMING_KEY", least=32),
        manager_key=env.text("MANAGER_KEY", least=32),
        door_url=env.url("DOOR_URL", "http://nginx:8081", ("http",)),
        idle_seconds=env.whole("IDLE_SECONDS", 600, least=1),
        health_seconds=env.whole("HEALTH_SECONDS", 30, least=1, most=3600),
        sweep_seconds=env.whole("SWEEP_SECONDS", 60, least=1, most=3600),
        door_seconds=env.whole("DOOR_SECONDS", 5, least=1, most=3600),
        drain_delay_seconds=env.whole("DRAIN_DELAY_SECONDS", 0, most=120),
        drain_seconds=env.whole("DRAIN_SECONDS", 20, least=1, most=3600),
        host=env.text("HOST", "0.0.0.0"),  # noqa: S104  # inside a container
        port=env.whole("PORT", 8000, least=1, most=65535),
        log_level=env.text("LOG_LEVEL", "INFO").upper(),
    )
    if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        env.refuse("LOG_LEVEL has to be DEBUG, INFO, WARNING or ERROR")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", settings.stack.name):
        env.refuse("STACK has to be a name of small letters, digits and dashes")
    env.done()
    return settings
