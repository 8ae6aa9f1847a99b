"""Tables of the database.

Ids are UUIDv7: text in Python and SQLite, native in PostgreSQL. Times are milliseconds since the epoch.

Statements have the same values on both databases (decision 0013).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    column,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from app.domain.documents import DocumentStatus
from app.domain.messages import Status

Id = Uuid(as_uuid=False).with_variant(String(36), "sqlite")
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Key = BigInteger().with_variant(Integer, "sqlite")
"""Type of a generated integer key: SQLite generates values only for INTEGER."""
UNFINISHED_STATUSES = (Status.QUEUED, Status.IN_PROGRESS)
VISIBLE_STATUSES = tuple(DocumentStatus)
"""Statuses of a document that callers see; the others are those of `HiddenStatus`."""
UNFINISHED = column("status", Text).in_(UNFINISHED_STATUSES)
IN_PROGRESS = column("status", Text) == Status.IN_PROGRESS
VISIBLE = column("status", Text).in_(VISIBLE_STATUSES)
REPLACES_NONE = column("replaces", Text).is_(None)
REPLACES = column("replaces", Text).is_not(None)


class HiddenStatus(StrEnum):
    """Status of a document that callers do not see, in addition to those of `DocumentStatus`."""

    UPLOADING = "uploading"
    DELETING = "deleting"


class HalfVector(UserDefinedType[bytes]):
    """A vector of pgvector's 16-bit floats, of one dimension or (None) of any; on SQLite bytes of 32-bit floats."""

    cache_ok = True

    def __init__(self, dimension: int | None = None) -> None:
        self.dimension = dimension

    def get_col_spec(self, **_options: object) -> str:
        return "halfvec" if self.dimension is None else f"halfvec({self.dimension})"


class Base(DeclarativeBase):
    """Base of the tables: naming conventions of constraints and indexes."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UserRow(Base):
    """A user. `user_id`, the caller's own id, is cleared first when the user is erased."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str | None] = mapped_column(Text, unique=True)
    name: Mapped[str | None] = mapped_column(Text)
    documents_version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Counter of changes to the searchable documents, by which processes invalidate their caches of them."""
    created_at: Mapped[int] = mapped_column(BigInteger)


class ConversationRow(Base):
    """A conversation. Its row is the lock for changes to its messages; `last_sequence` is their last number."""

    __tablename__ = "conversations"
    __table_args__ = (Index(None, "owner_id", "updated_at", "conversation_id"),)

    conversation_id: Mapped[str] = mapped_column(Id, primary_key=True)
    owner_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    last_sequence: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(default=0, server_default="0")
    """Counter of changes to existing messages; a summary is stored only if it is unchanged since they were read."""
    message_count: Mapped[int] = mapped_column(default=0)
    title: Mapped[str | None] = mapped_column(Text)
    title_source: Mapped[str | None] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text)
    system_prompt: Mapped[str | None] = mapped_column(Text)
    provider: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    temperature: Mapped[float | None]
    max_tokens: Mapped[int | None] = mapped_column(BigInteger)
    document_ids: Mapped[list[str] | None] = mapped_column(Json)
    meta: Mapped[dict[str, str]] = mapped_column("metadata", Json)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class MessageRow(Base):
    """A message; a reply's row is also the state of its turn, owned by a process while unfinished."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "sequence_number"),
        Index(
            "uq_messages_in_progress",
            "conversation_id",
            unique=True,
            sqlite_where=IN_PROGRESS,
            postgresql_where=IN_PROGRESS,
        ),
        Index(
            "ix_messages_unfinished",
            "conversation_id",
            "sequence_number",
            sqlite_where=UNFINISHED,
            postgresql_where=UNFINISHED,
        ),
    )

    message_id: Mapped[str] = mapped_column(Id, primary_key=True)
    conversation_id: Mapped[str] = mapped_column(Id, ForeignKey("conversations.conversation_id", ondelete="CASCADE"))
    sequence_number: Mapped[int]
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    answers: Mapped[int | None]
    """Sequence number of the user message that this reply answers; None for a user message."""
    superseded_by: Mapped[str | None] = mapped_column(Id)
    process_id: Mapped[str | None] = mapped_column(Id)
    """The process whose lease covers the turn; only it writes the row while the turn is in progress."""
    cancel_requested_at: Mapped[int | None] = mapped_column(BigInteger)
    provider: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    temperature: Mapped[float | None]
    max_tokens: Mapped[int | None] = mapped_column(BigInteger)
    mode: Mapped[str | None] = mapped_column(Text)
    document_ids: Mapped[list[str] | None] = mapped_column(Json)
    finish_reason: Mapped[str | None] = mapped_column(Text)
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    usage_estimated: Mapped[bool | None]
    retrieval_mode: Mapped[str | None] = mapped_column(Text)
    retrieval: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The retrieval result of this reply: `domain.retrieval.RetrievalResult`."""
    citations: Mapped[list[dict[str, Any]] | None] = mapped_column(Json)
    grounded: Mapped[bool | None]
    error_code: Mapped[str | None] = mapped_column(Text)
    error_detail: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    completed_at: Mapped[int | None] = mapped_column(BigInteger)
    edited_at: Mapped[int | None] = mapped_column(BigInteger)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)
    reasoning: Mapped[str | None] = mapped_column(Text)
    context: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The prompt record of this reply (`domain.prompt_record`), with provider and model."""


class AttemptRow(Base):
    """A call of a provider. It outlives its conversation and is deleted with its user."""

    __tablename__ = "attempts"
    __table_args__ = (Index(None, "owner_id", "day"),)

    attempt_id: Mapped[str] = mapped_column(Id, primary_key=True)
    owner_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    conversation_id: Mapped[str] = mapped_column(Id)
    message_id: Mapped[str | None] = mapped_column(Id, index=True)
    """The reply; None for a title or a summary."""
    day: Mapped[str] = mapped_column(Text)
    provider: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    status_code: Mapped[int | None]
    first_token_ms: Mapped[int | None] = mapped_column(BigInteger)
    total_ms: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    estimated: Mapped[bool | None]
    started_at: Mapped[int] = mapped_column(BigInteger)


class SummaryRow(Base):
    """A summary of a conversation's messages from the first to `last_sequence`."""

    __tablename__ = "summaries"
    __table_args__ = (Index(None, "conversation_id", "last_sequence"),)

    summary_id: Mapped[str] = mapped_column(Id, primary_key=True)
    conversation_id: Mapped[str] = mapped_column(Id, ForeignKey("conversations.conversation_id", ondelete="CASCADE"))
    last_sequence: Mapped[int]
    content: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)


class DocumentRow(Base):
    """A document. While it is queued or processed its row is also the state of its ingestion, owned by a process.

    Two states are hidden from all reads: `uploading`, while its bytes arrive and its owner may not be known, and
    `deleting`. A document left in one of them by a dead process is deleted by another.
    """

    __tablename__ = "documents"
    __table_args__ = (
        Index(None, "owner_id", "document_id"),
        Index(
            "uq_documents_owner_id_sha256",
            "owner_id",
            "sha256",
            unique=True,
            sqlite_where=and_(VISIBLE, REPLACES_NONE),
            postgresql_where=and_(VISIBLE, REPLACES_NONE),
        ),
        Index(
            "uq_documents_replaces",
            "replaces",
            unique=True,
            sqlite_where=and_(VISIBLE, REPLACES),
            postgresql_where=and_(VISIBLE, REPLACES),
        ),
        Index("ix_documents_status", "status", "document_id"),
    )

    document_id: Mapped[str] = mapped_column(Id, primary_key=True)
    owner_id: Mapped[str | None] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    stage: Mapped[str | None] = mapped_column(Text)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    seconds_left: Mapped[int | None]
    """Estimated time to the end of the stage; None while it is unknown."""
    error_code: Mapped[str | None] = mapped_column(Text)
    error_detail: Mapped[str | None] = mapped_column(Text)
    retryable: Mapped[bool | None]
    process_id: Mapped[str | None] = mapped_column(Id)
    """The process whose lease covers the work on the document."""
    attempt: Mapped[int] = mapped_column(default=0)
    """Number of ingestions begun: the generation of the chunks being written."""
    deaths: Mapped[int] = mapped_column(default=0)
    """Number of processes that died while ingesting it."""
    generation: Mapped[int] = mapped_column(default=0)
    """The generation of chunks that searches use; 0 for none."""
    embedding: Mapped[str | None] = mapped_column(Text)
    """Name of the embedder of that generation's vectors; None if it has none."""
    title: Mapped[str | None] = mapped_column(Text)
    outline: Mapped[list[Any] | None] = mapped_column(Json)
    """Headings, each as [level, text, start]; `start` is a position in the text, in characters."""
    page_count: Mapped[int | None]
    textless_pages: Mapped[list[int] | None] = mapped_column(Json)
    truncated: Mapped[str | None] = mapped_column(Text)
    """The sentence that says where reading stopped at a limit; None if the whole document was read."""
    language: Mapped[str | None] = mapped_column(Text)
    """ISO 639-1 code of its main language; None if it is unknown."""
    analysis: Mapped[int] = mapped_column(default=0, server_default="0")
    """Version of the analysis that the search terms of its chunks are from; 0 for that of releases without versions."""
    keep_links: Mapped[bool] = mapped_column(default=False, server_default=false())
    """True if the addresses of links are part of the text."""
    charset: Mapped[str | None] = mapped_column(Text)
    """Name of a text's encoding, if the client has given one."""
    replaces: Mapped[str | None] = mapped_column(Id)
    """The document with the same bytes whose place it takes once it is ready; None for all others."""
    chunk_count: Mapped[int | None]
    created_at: Mapped[int] = mapped_column(BigInteger)
    uploaded_at: Mapped[int | None] = mapped_column(BigInteger)
    """Time when its bytes were last uploaded, which orders the versions of a name; None stands for `created_at`."""


class DocumentContentRow(Base):
    """A part of a document's bytes, at most 256 KB, since writing longer rows would delay other writers."""

    __tablename__ = "document_contents"

    document_id: Mapped[str] = mapped_column(
        Id, ForeignKey("documents.document_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class DocumentTextRow(Base):
    """The extracted text of a document; chunks and citations are spans of it."""

    __tablename__ = "document_texts"

    document_id: Mapped[str] = mapped_column(
        Id, ForeignKey("documents.document_id", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[str] = mapped_column(Text)


class ChunkRow(Base):
    """A span of a document's text, searched if `generation` is its document's.

    `words` has an index that is not part of this model: an FTS5 table kept by triggers on SQLite, a GIN index over
    its lexemes on PostgreSQL. Vectors are in a table of their own, by the embedder's name (`app.db.vectors`).
    """

    __tablename__ = "chunks"
    __table_args__ = (UniqueConstraint("document_id", "generation", "position"),)

    chunk_key: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=True)
    document_id: Mapped[str] = mapped_column(Id, ForeignKey("documents.document_id", ondelete="CASCADE"))
    owner_id: Mapped[str] = mapped_column(Id)
    generation: Mapped[int]
    position: Mapped[int]
    start_at: Mapped[int]
    end_at: Mapped[int]
    page: Mapped[int | None]
    later_pages: Mapped[list[Any] | None] = mapped_column(Json)
    """Pages that begin inside the chunk, each as [start, page]; None if they are not known."""
    content: Mapped[str] = mapped_column(Text)
    heading: Mapped[str] = mapped_column(Text)
    names: Mapped[str] = mapped_column(Text)
    words: Mapped[str] = mapped_column(Text)
    """Hashed search terms, as `app.rag.ranking.terms` builds them, each once, separated by spaces."""
    counts: Mapped[bytes] = mapped_column(LargeBinary)
    """Number of occurrences of each term."""


class ChunkVectorRow(Base):
    """The vector of a chunk by one embedder.

    Outside the metadata that migrations are compared with: on PostgreSQL `app.db.vectors` creates the table once there
    is the extension. Only there it has the three columns that are copies of the chunk's.
    """

    __tablename__ = "chunk_vectors"
    metadata = MetaData()

    chunk_key: Mapped[int] = mapped_column(Key, primary_key=True)
    embedder: Mapped[str] = mapped_column(Text, primary_key=True)
    owner_id: Mapped[str] = mapped_column(Id)
    document_id: Mapped[str] = mapped_column(Id)
    generation: Mapped[int]
    vector: Mapped[bytes] = mapped_column(HalfVector)


class IdempotencyKeyRow(Base):
    """A caller's idempotency key and the turn or conversation created under it; it outlives the conversation."""

    __tablename__ = "idempotency_keys"

    owner_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    conversation_id: Mapped[str] = mapped_column(Id)
    message_id: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[int] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger, index=True)
    """Time at which the turn was first seen ended; None until then."""


class ProcessRow(Base):
    """The lease of a serving process, in ms of PostgreSQL's clock, or of the monotonic clock of SQLite's host."""

    __tablename__ = "processes"

    process_id: Mapped[str] = mapped_column(Id, primary_key=True)
    started_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
