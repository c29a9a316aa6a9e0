"""Brings the database to the schema of this version, one replica at a time."""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

log = logging.getLogger("gateway")
LOCK = 0x6761746577617931
"""Of the advisory lock: "gateway1"."""


def migrate(url: sa.URL) -> None:
    """Raises sqlalchemy.exc.SQLAlchemyError. A schema newer than this version is left alone: migrations only add, so
    that the version before can run beside the new one while replicas are replaced, and after a rollback."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        current = MigrationContext.configure(connection).get_current_revision()
        connection.commit()
        known = {script.revision for script in scripts.walk_revisions()}
        if current is not None and current not in known:
            log.warning("the database is of a newer version", extra={"fields": {"revision": current}})
        elif current != scripts.get_current_head():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            log.info("the database was migrated", extra={"fields": {"from": current, "to": scripts.get_current_head()}})
        connection.execute(sa.text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()
    engine.dispose()
