"""Users and their sessions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("issuer", "subject", name="users_identity"),
        sa.UniqueConstraint("name", name="users_name"),
    )
    op.create_table(
        "sessions",
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
    )
    op.create_index("sessions_of_user", "sessions", ["user_id", "started_at", "id"])
    op.create_index("sessions_by_start", "sessions", ["started_at", "id"])
    op.create_index("sessions_by_end", "sessions", ["ended_at"])
    op.create_index("sessions_live", "sessions", ["id"], postgresql_where=sa.text("ended_at IS NULL"))


def downgrade() -> None:
    op.drop_table("sessions")
    op.drop_table("users")
