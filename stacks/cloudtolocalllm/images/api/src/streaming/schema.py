"""The tables. Their history is in migrations/; a test compares the two.

Who, when, how long, how much, and why it ended; nothing of what was said. `counted_in` and `counted_out` are the
proxy's own counters as last read: these begin again with its process, while `bytes_in` and `bytes_out` go on.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

metadata = sa.MetaData()

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.UniqueConstraint("issuer", "subject", name="users_identity"),
    sa.UniqueConstraint("name", name="users_name"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.BigInteger, sa.ForeignKey("users.id"), nullable=False),
    sa.Column("started_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("seen_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("active_at", TIMESTAMP(timezone=True)),
    sa.Column("ended_at", TIMESTAMP(timezone=True)),
    sa.Column("reason", sa.Text),
    sa.Column("desktop", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("bytes_in", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("bytes_out", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("counted_in", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("counted_out", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("tunnel", sa.Text),
    sa.Index("sessions_of_user", "user_id", "started_at", "id"),
    sa.Index("sessions_by_start", "started_at", "id"),
    sa.Index("sessions_by_end", "ended_at"),
    sa.Index("sessions_live", "id", postgresql_where=sa.text("ended_at IS NULL")),
)
