"""What the service is told: see the table in README.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from webservice.environment import Environment
from webservice.tokens import Trust, trust

HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:\d+)?")


@dataclass(frozen=True)
class Settings:
    database_url: str
    trust: Trust
    admin_role: str
    portal_origin: str
    users_domain: str
    streaming_key: str
    manager_url: str
    manager_key: str
    manager_seconds: int
    poll_seconds: int
    lost_seconds: int
    audit_days: int
    creates_per_minute: int
    requests_per_minute: int
    db_pool: int
    db_wait_seconds: int
    drain_delay_seconds: int
    drain_seconds: int
    host: str
    port: int
    log_level: str


def from_environment(variables: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError with all that is wrong."""
    env = Environment(variables)
    domain = env.text("DOMAIN")
    settings = Settings(
        database_url=env.url("DATABASE_URL", None, ("postgresql", "postgres")),
        trust=trust(env),
        admin_role=env.text("ADMIN_ROLE", "admin"),
        portal_origin=env.url("PORTAL_ORIGIN", f"https://{domain}", ("https", "http")),
        users_domain=env.text("USERS_DOMAIN", f"users.{domain}"),
        streaming_key=env.text("STREAMING_KEY", least=32),
        manager_url=env.url("MANAGER_URL", "http://user-manager:8000", ("http", "https")),
        manager_key=env.text("MANAGER_KEY", least=32),
        manager_seconds=env.whole("MANAGER_SECONDS", 45, least=1, most=300),
        poll_seconds=env.whole("POLL_SECONDS", 10, least=1, most=300),
        lost_seconds=env.whole("LOST_SECONDS", 25, least=1, most=3600),
        audit_days=env.whole("AUDIT_DAYS", 90, least=1, most=36_500),
        creates_per_minute=env.whole("CREATES_PER_MINUTE", 10, least=1, most=60_000),
        requests_per_minute=env.whole("REQUESTS_PER_MINUTE", 300, least=1, most=60_000),
        db_pool=env.whole("DB_POOL", 6, least=2, most=100),
        db_wait_seconds=env.whole("DB_WAIT_SECONDS", 8, most=120),
        drain_delay_seconds=env.whole("DRAIN_DELAY_SECONDS", 3, most=120),
        drain_seconds=env.whole("DRAIN_SECONDS", 50, least=1, most=3600),
        host=env.text("HOST", "0.0.0.0"),  # noqa: S104  # inside a container
        port=env.whole("PORT", 8000, least=1, most=65535),
        log_level=env.text("LOG_LEVEL", "INFO").upper(),
    )
    for name, value in (("DOMAIN", domain), ("USERS_DOMAIN", settings.users_domain)):
        if domain and not HOST.fullmatch(value):
            env.refuse(f"{name}: {value!r} is no domain")
    if settings.lost_seconds <= settings.poll_seconds:
        env.refuse("LOST_SECONDS has to be more than POLL_SECONDS")
    if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        env.refuse("LOG_LEVEL has to be DEBUG, INFO, WARNING or ERROR")
    env.done()
    return settings
