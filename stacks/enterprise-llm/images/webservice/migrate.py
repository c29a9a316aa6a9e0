"""Brings the database to the schema of this version, one replica at a time."""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

log = logging.getLogger("webservice")


def migrate(url: sa.URL, folder: Path, lock: int) -> None:
    """`folder` holds Alembic's versions; `lock` is the number of the advisory lock. Raises
    sqlalchemy.exc.SQLAlchemyError. A schema newer than this version is left alone: migrations only add, so that the
    version before can run beside the new one while replicas are replaced, and after a rollback."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    scripts = ScriptDirectory.from_config(config)
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": lock})
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
        connection.execute(sa.text("SELECT pg_advisory_unlock(:lock)"), {"lock": lock})
        connection.commit()
    engine.dispose()
