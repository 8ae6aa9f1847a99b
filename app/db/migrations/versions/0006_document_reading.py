"""Documents with what their reading says about them, and chunks with the pages that begin inside them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
VISIBLE = "status IN ('queued', 'processing', 'ready', 'failed')"
IN_PLACE = sa.text(f"{VISIBLE} AND replaces IS NULL")
REPLACEMENT = sa.text(f"{VISIBLE} AND replaces IS NOT NULL")


def upgrade() -> None:
    op.add_column("documents", sa.Column("truncated", sa.Text()))
    op.add_column("documents", sa.Column("language", sa.Text()))
    op.add_column("documents", sa.Column("analysis", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("documents", sa.Column("seconds_left", sa.Integer()))
    op.add_column("documents", sa.Column("keep_links", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("documents", sa.Column("charset", sa.Text()))
    op.add_column("documents", sa.Column("replaces", ID))
    op.add_column("documents", sa.Column("uploaded_at", sa.BigInteger()))
    op.add_column("chunks", sa.Column("later_pages", JSON))
    op.drop_index("uq_documents_owner_id_sha256", "documents")
    op.create_index(
        "uq_documents_owner_id_sha256",
        "documents",
        ["owner_id", "sha256"],
        unique=True,
        sqlite_where=IN_PLACE,
        postgresql_where=IN_PLACE,
    )
    op.create_index(
        "uq_documents_replaces",
        "documents",
        ["replaces"],
        unique=True,
        sqlite_where=REPLACEMENT,
        postgresql_where=REPLACEMENT,
    )
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL's index follows by itself
        op.execute(
            "CREATE TRIGGER chunk_words_of_changed AFTER UPDATE OF words ON chunks BEGIN "
            "INSERT INTO chunk_words (chunk_words, rowid, words) VALUES ('delete', old.chunk_key, old.words); "
            "INSERT INTO chunk_words (rowid, words) VALUES (new.chunk_key, new.words); END"
        )
    else:
        store_for_search()


def store_for_search() -> None:
    """Keep terms in the rows of chunks, and find the vectors of single documents.

    Searches read the terms of a thousand chunks, but the text of only a few: the text is what is stored elsewhere if a
    row becomes too long. Existing rows stay as they are until they are written again.
    """
    op.execute("ALTER TABLE chunks ALTER words SET STORAGE MAIN, ALTER counts SET STORAGE MAIN")
    if sa.inspect(op.get_bind()).has_table("chunk_vectors"):  # not without the extension
        index = "ix_chunk_vectors_owner_id_embedder"
        op.create_index(
            f"{index}_document_id", "chunk_vectors", ["owner_id", "embedder", "document_id"], if_not_exists=True
        )
        op.drop_index(index, "chunk_vectors", if_exists=True)
