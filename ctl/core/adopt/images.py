"""What is known of images that people run: the port, how to ask for health, the memory, whose databases are dumped.

Only what nearly every Compose file contains and few write down; an image that is not here is judged by its own file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Test = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """`part` is what other containers use (a database, a queue): never the door of a project."""

    port: int = 0
    http: bool = False
    part: bool = False
    health: Test = ()
    memory: str = "1G"
    grace: str = ""
    """How long it may take to stop, where ten seconds would cost data."""
    postgres: bool = False


def _shell(command: str) -> Test:
    return ("CMD-SHELL", command)


_POSTGRES = Known(
    5432,
    part=True,
    # Over TCP: while an empty volume is prepared, the server listens on its socket only.
    health=_shell('pg_isready -q -h 127.0.0.1 -U "${POSTGRES_USER:-postgres}"'),
    grace="90s",
    postgres=True,
)
_REDIS = Known(6379, part=True, health=_shell("redis-cli ping | grep -qE 'PONG|NOAUTH'"), memory="256M", grace="30s")
_VALKEY = Known(6379, part=True, health=_shell("valkey-cli ping | grep -qE 'PONG|NOAUTH'"), memory="256M", grace="30s")
_MYSQL = Known(3306, part=True, health=_shell("mysqladmin ping -h 127.0.0.1 --silent"), grace="90s")
_MARIADB = Known(3306, part=True, health=_shell("healthcheck.sh --connect --innodb_initialized"), grace="90s")
_MONGO = Known(
    27017, part=True, health=_shell("mongosh --quiet --eval 'db.adminCommand(\"ping\").ok' | grep -q 1"), grace="60s"
)
_MINIO = Known(9000, http=True, part=True, health=_shell("mc ready local"))
_CLICKHOUSE = Known(
    8123, part=True, health=_shell("wget -q -O /dev/null http://127.0.0.1:8123/ping"), memory="2G", grace="60s"
)


def _listed(*names: str, **settings: object) -> dict[str, Known]:
    return dict.fromkeys(names, Known(**settings))  # type: ignore[arg-type]


# By the end of the image's name: `postgres` is docker.io/library/postgres, bitnami/postgres, ghcr.io/x/postgres too.
_KNOWN: Mapping[str, Known] = {
    **dict.fromkeys(
        ("postgres", "postgresql", "pgvector", "postgis", "timescaledb", "pgvecto-rs", "vchord-postgres"), _POSTGRES
    ),
    **dict.fromkeys(("redis", "redis-stack-server"), _REDIS),
    "valkey": _VALKEY,
    "keydb": Known(6379, part=True, health=_shell("keydb-cli ping | grep -qE 'PONG|NOAUTH'"), memory="256M"),
    "dragonfly": Known(6379, part=True, health=_shell("redis-cli ping | grep -qE 'PONG|NOAUTH'"), memory="512M"),
    "mysql": _MYSQL,
    "mariadb": _MARIADB,
    **dict.fromkeys(("mongo", "mongodb-community-server"), _MONGO),
    "minio": _MINIO,
    "clickhouse-server": _CLICKHOUSE,
    "rabbitmq": Known(5672, part=True, health=_shell("rabbitmq-diagnostics -q ping"), memory="512M"),
    **_listed("memcached", port=11211, part=True, memory="128M"),
    **_listed("etcd", "zookeeper", "kafka", "nats", "cp-kafka", "redpanda", part=True),
    **_listed("elasticsearch", "opensearch", port=9200, part=True, memory="2G"),
    **_listed("meilisearch", port=7700, part=True, http=True, memory="512M"),
    **_listed("qdrant", port=6333, part=True, http=True),
    **_listed("weaviate", port=8080, part=True, http=True),
    **_listed("gotenberg", port=3000, part=True, http=True, memory="512M"),
    **_listed("tika", port=9998, part=True, http=True),
    **_listed("chrome", "chromium", "browserless", "alpine-chrome", port=3000, part=True, http=True),
    **_listed("searxng", port=8080, http=True, memory="512M"),
    **_listed("watchtower", "autoheal", "docker-socket-proxy", part=True, memory="128M"),
    "grafana": Known(3000, http=True, memory="512M"),
    "gitea": Known(3000, http=True),
    "forgejo": Known(3000, http=True),
    "open-webui": Known(8080, http=True),
    "n8n": Known(5678, http=True),
    "uptime-kuma": Known(3001, http=True, memory="512M"),
    "nextcloud": Known(80, http=True),
    "vaultwarden": Known(80, http=True, memory="512M"),
    "paperless-ngx": Known(8000, http=True, memory="2G"),
    "immich-server": Known(2283, http=True, memory="4G"),
    "immich-machine-learning": Known(3003, part=True, memory="4G"),
    "langfuse": Known(3000, http=True, memory="2G"),
    "langfuse-worker": Known(3030, memory="2G"),
    "ollama": Known(11434, http=True, memory="8G"),
    "home-assistant": Known(8123, http=True),
    "jellyfin": Known(8096, http=True, memory="2G"),
    "ghost": Known(2368, http=True),
    "wordpress": Known(80, http=True),
    "flowise": Known(3000, http=True),
    "nginx": Known(80, http=True, memory="128M"),
    "caddy": Known(80, http=True, memory="128M"),
    "traefik": Known(80, http=True, part=True, memory="128M"),
    "nginx-proxy": Known(80, http=True, part=True, memory="128M"),
    "cloudflared": Known(part=True, memory="128M"),
}

HTTP_PORTS = (80, 8080, 3000, 8000, 5000, 8081, 8888, 9000, 4000, 3001, 8443, 443, 5173, 8501, 7860)
"""Where a web page is likely, the likeliest first."""
OTHER_PORTS = frozenset(
    {21, 22, 23, 25, 53, 67, 69, 110, 123, 143, 161, 389, 445, 465, 514, 587, 636, 853, 993, 995, 1080, 1433, 1521}
    | {1883, 2049, 2181, 2222, 3306, 3478, 4222, 5060, 5222, 5269, 5349, 5432, 5671, 5672, 6379, 8883, 9092, 9418}
    | {11211, 25565, 27015, 27017, 51820, 51413, 6881}
)
"""Where something else than HTTP is spoken."""


def known(image: str) -> Known:
    """What is known of an image; for a stranger a `Known` that says nothing."""
    name = short_name(image)
    return _KNOWN.get(name) or _KNOWN.get(_family(name), Known())


def short_name(image: str) -> str:
    return repository(image).rsplit("/", 1)[-1].lower()


def _family(name: str) -> str:
    """`timescaledb-ha` is a Postgres; `postgres-backup-local` is none."""
    return next((kind for kind in ("pgvector", "postgis", "timescaledb") if name.startswith(kind)), "")


def repository(image: str) -> str:
    """Without tag and digest; the colon of a registry's port is no tag's."""
    name = image.split("@", 1)[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def tag_of(image: str) -> str:
    return image.split("@", 1)[0].removeprefix(repository(image)).removeprefix(":")


_FLOATS = re.compile(r"(^|[-._])(latest|nightly|edge|rolling|canary|main|master|dev|develop|stable|next|beta)([-._]|$)")


def floats(image: str) -> bool:
    """Whether another image may have this name tomorrow: no tag, or one that names a branch and no version."""
    if re.search(r"@sha256:[0-9a-f]{64}$", image):
        return False
    tag = tag_of(image).lower()
    if not re.search(r"\d", tag):
        return True
    return bool(_FLOATS.search(tag)) and not re.search(r"\d+\.\d+", tag)
