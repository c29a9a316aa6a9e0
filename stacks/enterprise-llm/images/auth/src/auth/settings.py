"""What the service is told: see the table in README.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from webservice.environment import Environment

DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


@dataclass(frozen=True)
class Settings:
    name: str
    issuer: str
    audience: str
    data: Path
    jwks_file: Path | None
    revoked_file: Path | None
    access_seconds: int
    refresh_seconds: int
    key_lead_seconds: int
    registration_domains: tuple[str, ...]
    admin_email: str
    admin_password: str
    attempts_account: int
    attempts_address: int
    attempts_seconds: int
    cookie_secure: bool
    trusted_proxies: str
    host: str
    port: int
    drain_seconds: int
    log_level: str


def from_environment(variables: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError with all that is wrong."""
    env = Environment(variables)
    domains = tuple(domain.lower() for domain in env.words("REGISTRATION_DOMAINS"))
    for domain in domains:
        if not DOMAIN.fullmatch(domain):
            env.refuse(f"REGISTRATION_DOMAINS: {domain!r} is no domain")
    admin_email = env.text("ADMIN_EMAIL", "")
    admin_password = env.text("ADMIN_PASSWORD", "")
    if bool(admin_email) != bool(admin_password):
        env.refuse("ADMIN_EMAIL and ADMIN_PASSWORD go together")
    jwks_file, revoked_file = env.text("JWKS_FILE", ""), env.text("REVOKED_FILE", "")
    settings = Settings(
        name=env.text("SERVICE_NAME", "Enterprise LLM"),
        issuer=env.text("ISSUER", "auth"),
        audience=env.text("AUDIENCE", "gateway"),
        data=Path(env.text("DATA_DIR", "/data")),
        jwks_file=Path(jwks_file) if jwks_file else None,
        revoked_file=Path(revoked_file) if revoked_file else None,
        access_seconds=env.whole("ACCESS_SECONDS", 600, least=5, most=3600),
        refresh_seconds=env.whole("REFRESH_SECONDS", 14 * 86400, least=60, most=366 * 86400),
        key_lead_seconds=env.whole("KEY_LEAD_SECONDS", 30, most=600),
        registration_domains=domains,
        admin_email=admin_email,
        admin_password=admin_password,
        attempts_account=env.whole("LOGIN_ATTEMPTS_ACCOUNT", 10, least=1),
        attempts_address=env.whole("LOGIN_ATTEMPTS_ADDRESS", 50, least=1),
        attempts_seconds=env.whole("LOGIN_WINDOW_SECONDS", 900, least=1, most=86400),
        cookie_secure=env.flag("COOKIE_SECURE", True),
        trusted_proxies=env.text("TRUSTED_PROXIES", "127.0.0.1,::1"),
        host=env.text("HOST", "0.0.0.0"),  # noqa: S104  # inside a container
        port=env.whole("PORT", 8000, least=1, most=65535),
        drain_seconds=env.whole("DRAIN_SECONDS", 10, most=3600),
        log_level=env.text("LOG_LEVEL", "INFO").upper(),
    )
    if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        env.refuse("LOG_LEVEL has to be DEBUG, INFO, WARNING or ERROR")
    env.done()
    return settings
