"""Documents, their bytes and texts, and the chunks that are searched for by words."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
THERE = sa.text("status IN ('queued', 'processing', 'ready', 'failed')")


def upgrade() -> None:
    op.add_column("users", sa.Column("documents_version", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("messages", sa.Column("retrieval_mode", sa.Text()))
    op.add_column("messages", sa.Column("retrieval", JSON))
    op.create_table(
        "documents",
        sa.Column("document_id", ID, nullable=False),
        sa.Column("owner_id", ID),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text()),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_detail", sa.Text()),
        sa.Column("retryable", sa.Boolean()),
        sa.Column("process_id", ID),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("embedding", sa.Text()),
        sa.Column("title", sa.Text()),
        sa.Column("outline", JSON),
        sa.Column("page_count", sa.Integer()),
        sa.Column("textless_pages", JSON),
        sa.Column("chunk_count", sa.Integer()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_documents_owner_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("document_id", name="pk_documents"),
    )
    op.create_index("ix_documents_owner_id_document_id", "documents", ["owner_id", "document_id"])
    op.create_index(
        "uq_documents_owner_id_sha256",
        "documents",
        ["owner_id", "sha256"],
        unique=True,
        sqlite_where=THERE,
        postgresql_where=THERE,
    )
    op.create_index("ix_documents_status", "documents", ["status", "document_id"])
    op.create_table(
        "document_contents",
        sa.Column("document_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        of_a_document("document_contents"),
        sa.PrimaryKeyConstraint("document_id", "position", name="pk_document_contents"),
    )
    op.create_table(
        "document_texts",
        sa.Column("document_id", ID, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        of_a_document("document_texts"),
        sa.PrimaryKeyConstraint("document_id", name="pk_document_texts"),
    )
    op.create_table(
        "chunks",
        sa.Column("chunk_key", KEY, nullable=False, autoincrement=True),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("start_at", sa.Integer(), nullable=False),
        sa.Column("end_at", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer()),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("heading", sa.Text(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        of_a_document("chunks"),
        sa.PrimaryKeyConstraint("chunk_key", name="pk_chunks"),
        sa.UniqueConstraint("document_id", "generation", "position", name="uq_chunks_document_id_generation_position"),
    )


def of_a_document(table: str) -> sa.ForeignKeyConstraint:
    """The constraint that lets a row go with its document."""
    name = f"fk_{table}_document_id"
    return sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=name, ondelete="CASCADE")
