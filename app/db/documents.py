"""Transactions on documents: reads and deletion.

Lock order: the owner's row before documents, a document's row before its parts, text and chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, bindparam, delete, select, update

from app.db.models import ChunkRow, DocumentContentRow, DocumentRow, DocumentTextRow, HiddenStatus, UserRow
from app.db.predicates import OWNER_ROW_ID, owned_by_caller, visible
from app.db.transaction import Row, Transaction, execute, fetch_one, fetch_value
from app.domain.documents import Document, DocumentFailure, DocumentStatus, Stage
from app.errors import DocumentNotFound, DocumentNotReady

BATCH_PARTS = 4
"""Parts that one transaction deletes: 1 MB, which a full disk still has to take, as SQLite overwrites deleted pages."""
BATCH_CHUNKS = 250
"""Rows of chunks or vectors that one transaction deletes."""

BY_ID = DocumentRow.document_id == bindparam("document_id")
IS_DELETED = and_(BY_ID, DocumentRow.status == HiddenStatus.DELETING)
DOCUMENT = select(
    DocumentRow.document_id,
    DocumentRow.name,
    DocumentRow.media_type,
    DocumentRow.bytes,
    DocumentRow.sha256,
    DocumentRow.status,
    DocumentRow.created_at,
    DocumentRow.stage,
    DocumentRow.done,
    DocumentRow.total,
    DocumentRow.error_code,
    DocumentRow.error_detail,
    DocumentRow.retryable,
    DocumentRow.page_count,
    DocumentRow.textless_pages,
    DocumentRow.truncated,
    DocumentRow.language,
    DocumentRow.seconds_left,
    DocumentRow.chunk_count,
    DocumentRow.keep_links,
    DocumentRow.replaces,
).where(visible())

OF_ANY_USER = DOCUMENT.where(BY_ID)
OF_CALLER = OF_ANY_USER.where(owned_by_caller(DocumentRow))
PAGE = (
    DOCUMENT.where(
        DocumentRow.owner_id == OWNER_ROW_ID,
        DocumentRow.document_id < bindparam("before"),
    )
    .order_by(DocumentRow.document_id.desc())
    .limit(bindparam("limit"))
)
# Locked, so that a document which is replaced meanwhile is named either by its old id in time, or not at all.
OF_OWNER = (
    select(DocumentRow.document_id)
    .where(BY_ID, DocumentRow.owner_id == bindparam("owner_id"), visible())
    .with_for_update(read=True)
)
TEXT = select(DocumentTextRow.content).where(DocumentTextRow.document_id == bindparam("document_id"))
PART = select(DocumentContentRow.content).where(
    DocumentContentRow.document_id == bindparam("document_id"), DocumentContentRow.position == bindparam("position")
)
BUMP_VERSION = (
    update(UserRow)
    .where(UserRow.id == select(DocumentRow.owner_id).where(BY_ID).scalar_subquery())
    .values(documents_version=UserRow.documents_version + 1)
)
MARK_DELETED = (
    update(DocumentRow)
    .where(BY_ID, owned_by_caller(DocumentRow), visible())
    .values(status=HiddenStatus.DELETING, process_id=bindparam("process_id"))
    .returning(DocumentRow.document_id)
)
END_REPLACEMENT = (
    update(DocumentRow).where(DocumentRow.replaces == bindparam("document_id"), visible()).values(replaces=None)
)
MARK_ALL_DELETED = (
    update(DocumentRow)
    .where(DocumentRow.owner_id == bindparam("owner_id"))
    .values(status=HiddenStatus.DELETING, process_id=bindparam("process_id"))
    .returning(DocumentRow.document_id)
)
MARKED_AS_DELETED = select(DocumentRow.document_id).where(IS_DELETED)
DELETE_CHUNKS = (
    delete(ChunkRow)
    .where(
        ChunkRow.chunk_key.in_(
            select(ChunkRow.chunk_key).where(ChunkRow.document_id == bindparam("document_id")).limit(BATCH_CHUNKS)
        )
    )
    .returning(ChunkRow.chunk_key)
)
OF_DOCUMENT = DocumentContentRow.document_id == bindparam("document_id")
DELETE_PARTS = (
    delete(DocumentContentRow)
    .where(
        OF_DOCUMENT,
        DocumentContentRow.position.in_(select(DocumentContentRow.position).where(OF_DOCUMENT).limit(BATCH_PARTS)),
    )
    .returning(DocumentContentRow.position)
)
DELETE_TEXT = delete(DocumentTextRow).where(DocumentTextRow.document_id == bindparam("document_id"))
DELETE = delete(DocumentRow).where(IS_DELETED)

LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def document_of(row: Row) -> Document:
    """Build a document from a row of `DOCUMENT`."""
    error = None if row.error_code is None else DocumentFailure(row.error_code, row.error_detail, row.retryable)
    return Document(
        document_id=row.document_id,
        name=row.name,
        media_type=row.media_type,
        bytes=row.bytes,
        sha256=row.sha256,
        status=DocumentStatus(row.status),
        created_at=row.created_at,
        stage=None if row.stage is None else Stage(row.stage),
        done=row.done,
        total=row.total,
        error=error,
        page_count=row.page_count,
        textless_pages=row.textless_pages or [],
        truncated=row.truncated,
        language=row.language,
        seconds_left=row.seconds_left,
        chunk_count=row.chunk_count,
        keep_links=row.keep_links,
        replaces=row.replaces,
    )


def by_id(document_id: str) -> Transaction[Document]:
    """Return a document of any user.

    Raises:
        DocumentNotFound: there is no such document, or callers do not see it.
    """
    row = yield from fetch_one(OF_ANY_USER, document_id=document_id)
    if row is None:
        raise DocumentNotFound
    return document_of(row)


def get(owner: str | None, document_id: str) -> Transaction[Document]:
    """Return a document of its owner, or of any user where `owner` is None.

    Raises:
        DocumentNotFound: the owner has no such document.
    """
    row = yield from fetch_one(OF_CALLER, document_id=document_id, owner=owner)
    if row is None:
        raise DocumentNotFound
    return document_of(row)


def by_ids(document_ids: Sequence[str]) -> Transaction[dict[str, Document]]:
    """Return documents of any user by id; those that callers do not see are left out."""
    found = {}
    for document_id in document_ids:
        row = yield from fetch_one(OF_ANY_USER, document_id=document_id)
        if row is not None:
            found[document_id] = document_of(row)
    return found


def page(user_id: str, after: str | None, limit: int) -> Transaction[list[Document]]:
    """List a user's documents, newest first, after the document of that id; from the newest where it is None."""
    rows = yield from execute(PAGE, owner=user_id, before=after or LAST_ID, limit=limit)
    return [document_of(row) for row in rows]


def require_owned(owner_id: str, document_ids: Sequence[str]) -> Transaction[None]:
    """Check that a user has documents; `owner_id` is the id of the user's row.

    Raises:
        DocumentNotFound: one of them is another user's, or does not exist.
    """
    for document_id in document_ids:
        if not (yield from execute(OF_OWNER, document_id=document_id, owner_id=owner_id)):
            raise DocumentNotFound


def text(owner: str | None, document_id: str) -> Transaction[str]:
    """Return the text that was extracted from a document.

    Raises:
        DocumentNotFound: the owner has no such document.
        DocumentNotReady: it is not ready.
    """
    document = yield from get(owner, document_id)
    content = yield from fetch_value(TEXT, document_id=document_id)
    if content is None or document.status is not DocumentStatus.READY:
        raise DocumentNotReady
    return content


def part(document_id: str, position: int) -> Transaction[bytes | None]:
    """Return a part of a document's bytes; None after the last one."""
    return (yield from fetch_value(PART, document_id=document_id, position=position))


def mark_deleted(owner: str | None, document_id: str, process_id: str) -> Transaction[None]:
    """Hide a document from all reads and searches; the process `process_id` deletes its rows later.

    A document that was to take its place becomes one of its own.

    Raises:
        DocumentNotFound: the owner has no such document.
    """
    yield from execute(BUMP_VERSION, document_id=document_id)
    if not (yield from execute(MARK_DELETED, document_id=document_id, owner=owner, process_id=process_id)):
        raise DocumentNotFound
    yield from execute(END_REPLACEMENT, document_id=document_id)


def mark_all_deleted(owner_id: str, process_id: str) -> Transaction[list[str]]:
    """Mark all documents of an erased user as deleted, and return their ids."""
    rows = yield from execute(MARK_ALL_DELETED, owner_id=owner_id, process_id=process_id)
    return [row.document_id for row in rows]


def delete_batch(document_id: str) -> Transaction[bool]:
    """Delete a batch of the rows of a document marked as deleted; return True if none are left, or it is not marked."""
    if not (yield from execute(MARKED_AS_DELETED, document_id=document_id)):
        return True
    if (yield from execute(DELETE_CHUNKS, document_id=document_id)):
        return False
    if (yield from execute(DELETE_PARTS, document_id=document_id)):
        return False
    yield from execute(DELETE_TEXT, document_id=document_id)
    yield from execute(DELETE, document_id=document_id)
    return True
