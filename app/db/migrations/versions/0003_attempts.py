"""Calls of providers, summaries, and the prompt record and reasoning of replies."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("attempt_id", ID, nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("message_id", ID),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status_code", sa.Integer()),
        sa.Column("first_token_ms", sa.BigInteger()),
        sa.Column("total_ms", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger()),
        sa.Column("output_tokens", sa.BigInteger()),
        sa.Column("estimated", sa.Boolean()),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_attempts_owner_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_attempts"),
    )
    op.create_index("ix_attempts_owner_id_day", "attempts", ["owner_id", "day"])
    op.create_index("ix_attempts_message_id", "attempts", ["message_id"])
    op.create_table(
        "summaries",
        sa.Column("summary_id", ID, nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("last_sequence", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.conversation_id"],
            name="fk_summaries_conversation_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("summary_id", name="pk_summaries"),
    )
    op.create_index("ix_summaries_conversation_id_last_sequence", "summaries", ["conversation_id", "last_sequence"])
    op.add_column("conversations", sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("messages", sa.Column("reasoning", sa.Text()))
    op.add_column("messages", sa.Column("context", JSON))
