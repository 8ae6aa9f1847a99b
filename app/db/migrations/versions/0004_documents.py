"""Documents with their bytes and texts, and chunks with full-text indexes."""

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
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        of_a_document("chunks"),
        sa.PrimaryKeyConstraint("chunk_key", name="pk_chunks"),
        sa.UniqueConstraint("document_id", "generation", "position", name="uq_chunks_document_id_generation_position"),
    )
    if op.get_bind().dialect.name == "sqlite":
        index_on_sqlite()
    else:
        index_on_postgres()


def index_on_postgres() -> None:
    """Index words as lexemes; the cost keeps the planner from calling the function for each row of small tables."""
    op.execute(
        "CREATE OR REPLACE FUNCTION lexemes(words text) RETURNS tsvector LANGUAGE plpgsql "
        "IMMUTABLE STRICT PARALLEL SAFE COST 5000 AS "
        "$$ BEGIN RETURN array_to_tsvector(string_to_array(words, ' ')); END $$"
    )
    # No pending list, which every search would have to read.
    op.execute("CREATE INDEX ix_chunks_words ON chunks USING gin (lexemes(words)) WITH (fastupdate = off)")


def index_on_sqlite() -> None:
    """Index the words in an external-content FTS5 table kept by triggers, and create the table of vectors."""
    op.execute(
        "CREATE VIRTUAL TABLE chunk_words USING fts5 (words, content = 'chunks', content_rowid = 'chunk_key', "
        "tokenize = 'ascii', detail = none, columnsize = 0)"
    )
    op.execute(
        "CREATE TRIGGER chunk_words_of_new AFTER INSERT ON chunks BEGIN "
        "INSERT INTO chunk_words (rowid, words) VALUES (new.chunk_key, new.words); END"
    )
    op.execute(
        "CREATE TRIGGER chunk_words_of_old AFTER DELETE ON chunks BEGIN "
        "INSERT INTO chunk_words (chunk_words, rowid, words) VALUES ('delete', old.chunk_key, old.words); END"
    )
    op.execute(
        "CREATE TABLE chunk_vectors (chunk_key INTEGER NOT NULL REFERENCES chunks ON DELETE CASCADE, "
        "embedder TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (chunk_key, embedder))"
    )


def of_a_document(table: str) -> sa.ForeignKeyConstraint:
    """Return the constraint that deletes a row with its document."""
    name = f"fk_{table}_document_id"
    return sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=name, ondelete="CASCADE")
