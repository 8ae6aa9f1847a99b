"""Users, conversations, messages with the state of their turns, and the leases of processes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
UNFINISHED = sa.text("status IN ('queued', 'in_progress')")
IN_PROGRESS = sa.text("status = 'in_progress'")


def upgrade() -> None:
    op.create_table(
        "processes",
        sa.Column("process_id", ID, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("process_id", name="pk_processes"),
    )
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("user_id", name="uq_users_user_id"),
    )
    op.create_table(
        "conversations",
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("last_sequence", sa.Integer(), nullable=False),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("title_source", sa.Text()),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("system_prompt", sa.Text()),
        sa.Column("provider", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("temperature", sa.Double()),
        sa.Column("max_tokens", sa.BigInteger()),
        sa.Column("document_ids", JSON),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_conversations_owner_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_conversations"),
    )
    op.create_index(
        "ix_conversations_owner_id_updated_at_conversation_id",
        "conversations",
        ["owner_id", "updated_at", "conversation_id"],
    )
    op.create_table(
        "messages",
        sa.Column("message_id", ID, nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("sequence_number", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("answers", sa.Integer()),
        sa.Column("superseded_by", ID),
        sa.Column("process_id", ID),
        sa.Column("cancel_requested_at", sa.BigInteger()),
        sa.Column("provider", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("temperature", sa.Double()),
        sa.Column("max_tokens", sa.BigInteger()),
        sa.Column("mode", sa.Text()),
        sa.Column("document_ids", JSON),
        sa.Column("finish_reason", sa.Text()),
        sa.Column("input_tokens", sa.BigInteger()),
        sa.Column("output_tokens", sa.BigInteger()),
        sa.Column("usage_estimated", sa.Boolean()),
        sa.Column("citations", JSON),
        sa.Column("grounded", sa.Boolean()),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_detail", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("completed_at", sa.BigInteger()),
        sa.Column("edited_at", sa.BigInteger()),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.conversation_id"],
            name="fk_messages_conversation_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("message_id", name="pk_messages"),
        sa.UniqueConstraint("conversation_id", "sequence_number", name="uq_messages_conversation_id_sequence_number"),
    )
    op.create_index(
        "ix_messages_unfinished",
        "messages",
        ["conversation_id", "sequence_number"],
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    )
    op.create_index(
        "uq_messages_in_progress",
        "messages",
        ["conversation_id"],
        unique=True,
        sqlite_where=IN_PROGRESS,
        postgresql_where=IN_PROGRESS,
    )
