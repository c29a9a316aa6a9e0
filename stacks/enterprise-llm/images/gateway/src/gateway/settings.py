"""What the service is told: see the table in README.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webservice.environment import Environment
from webservice.tokens import Trust, trust


@dataclass(frozen=True)
class Settings:
    database_url: str
    redis_url: str
    ollama_url: str
    openai_url: str
    openai_key: str
    trust: Trust
    models: tuple[str, ...]
    model_default: str
    model_notice: str
    system_prompt: str
    context_tokens: int
    answer_tokens: int
    chats_per_minute: int
    requests_per_minute: int
    max_streams: int
    max_streams_per_user: int
    max_body_bytes: int
    stream_seconds: int
    first_byte_seconds: int
    model_idle_seconds: int
    heartbeat_seconds: int
    stall_seconds: int
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
    web = ("http", "https")
    settings = Settings(
        database_url=env.url("DATABASE_URL", None, ("postgresql", "postgres")),
        redis_url=env.url("REDIS_URL", "", ("redis", "rediss", "unix")),
        ollama_url=env.url("OLLAMA_URL", "", web),
        openai_url=env.url("OPENAI_URL", "", web),
        openai_key=env.text("OPENAI_KEY", ""),
        trust=trust(env),
        models=env.words("MODELS"),
        model_default=env.text("MODEL_DEFAULT", ""),
        model_notice=env.text("MODEL_NOTICE", ""),
        system_prompt=env.text("SYSTEM_PROMPT", ""),
        context_tokens=env.whole("CONTEXT_TOKENS", 8192, least=512),
        answer_tokens=env.whole("ANSWER_TOKENS", 2048, least=16),
        chats_per_minute=env.whole("CHATS_PER_MINUTE", 30, least=1, most=60_000),
        requests_per_minute=env.whole("REQUESTS_PER_MINUTE", 600, least=1, most=60_000),
        max_streams=env.whole("MAX_STREAMS", 500, least=1),
        max_streams_per_user=env.whole("MAX_STREAMS_PER_USER", 10, least=1),
        max_body_bytes=env.whole("MAX_BODY_BYTES", 4 * 2**20, least=1024),
        stream_seconds=env.whole("STREAM_SECONDS", 900, least=1),
        first_byte_seconds=env.whole("FIRST_BYTE_SECONDS", 5),
        model_idle_seconds=env.whole("MODEL_IDLE_SECONDS", 300, least=1),
        heartbeat_seconds=env.whole("HEARTBEAT_SECONDS", 15, least=1),
        stall_seconds=env.whole("STALL_SECONDS", 30, least=1),
        db_pool=env.whole("DB_POOL", 8, least=2, most=100),
        db_wait_seconds=env.whole("DB_WAIT_SECONDS", 8, most=120),
        drain_delay_seconds=env.whole("DRAIN_DELAY_SECONDS", 3, most=120),
        drain_seconds=env.whole("DRAIN_SECONDS", 60, least=1, most=3600),
        host=env.text("HOST", "0.0.0.0"),  # noqa: S104  # inside a container
        port=env.whole("PORT", 8000, least=1, most=65535),
        log_level=env.text("LOG_LEVEL", "INFO").upper(),
    )
    if bool(settings.ollama_url) == bool(settings.openai_url):
        env.refuse("one of OLLAMA_URL and OPENAI_URL has to be set")
    if settings.answer_tokens * 2 > settings.context_tokens:
        env.refuse("ANSWER_TOKENS has to be at most half of CONTEXT_TOKENS")
    if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        env.refuse("LOG_LEVEL has to be DEBUG, INFO, WARNING or ERROR")
    env.done()
    return settings
