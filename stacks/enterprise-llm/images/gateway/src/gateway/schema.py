"""The tables. Their history is in migrations/; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

metadata = sa.MetaData()

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", UUID(as_uuid=True), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Index("sessions_of_owner", "owner", "updated_at", "id"),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", UUID(as_uuid=True), primary_key=True),
    sa.Column("session_id", UUID(as_uuid=True), sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    # the order of a conversation, whatever the clocks of the replicas say
    sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column(
        "role", sa.Text, sa.CheckConstraint("role IN ('user', 'assistant')", name="messages_role"), nullable=False
    ),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("finish_reason", sa.Text),
    sa.Column("prompt_tokens", sa.Integer),
    sa.Column("completion_tokens", sa.Integer),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Index("messages_of_session", "session_id", "position"),
)
