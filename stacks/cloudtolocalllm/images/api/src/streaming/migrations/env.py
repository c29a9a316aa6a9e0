"""Run by webservice.migrate, which gives the connection and holds the lock."""

from alembic import context
from streaming.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
