"""Transactions on documents: upload, reads, deletion.

Lock order: the owner's row before documents, a document's row before its parts, text and chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson
from sqlalchemy import bindparam, select

from app.db import users
from app.db.messages import OWNED
from app.db.models import DocumentRow
from app.db.predicates import visible
from app.db.transaction import Row, Statement, Transaction, execute, first_row
from app.domain.documents import Document, DocumentFailure, DocumentStatus, Stage
from app.domain.ids import new_id
from app.errors import DocumentNotFound, DocumentNotReady, Unavailable

COLUMNS = (
    "d.document_id, d.name, d.media_type, d.bytes, d.sha256, d.status, d.created_at, d.stage, d.done, d.total, "
    "d.error_code, d.error_detail, d.retryable, d.page_count, CAST(d.textless_pages AS TEXT), d.chunk_count"
)
VISIBLE = "status IN ('queued', 'processing', 'ready', 'failed')"
BATCH_PARTS = 4
"""Parts that one transaction deletes: 1 MB, which a full disk still has to take, as SQLite overwrites deleted pages."""
BATCH_CHUNKS = 250
"""Rows of chunks or vectors that one transaction deletes."""

INSERT_UPLOAD = """
INSERT INTO documents (document_id, name, media_type, bytes, sha256, status, process_id, done, total, attempt, deaths,
generation, created_at) VALUES ($1, '', '', 0, '', 'uploading', $2, 0, 0, 0, 0, 0, $3)"""
ADD_BYTES = """
UPDATE documents SET bytes = bytes + $3 WHERE document_id = $1 AND status = 'uploading' AND process_id = $2
RETURNING 1"""
INSERT_PART = "INSERT INTO document_contents (document_id, position, content) VALUES ($1, $2, $3)"
LOCK_OWNER = "UPDATE users SET documents_version = documents_version WHERE id = $1 AND user_id IS NOT NULL RETURNING 1"
SAME_BYTES = f"SELECT document_id FROM documents WHERE owner_id = $1 AND sha256 = $2 AND {VISIBLE}"
QUEUE = """
UPDATE documents SET owner_id = $3, name = $4, media_type = $5, sha256 = $6, status = 'queued', process_id = NULL
WHERE document_id = $1 AND status = 'uploading' AND process_id = $2 RETURNING 1"""
QUEUE_AGAIN = """
UPDATE documents SET status = 'queued', stage = NULL, done = 0, total = 0, deaths = 0, error_code = NULL,
error_detail = NULL, retryable = NULL WHERE document_id = $1 AND status = 'failed' RETURNING 1"""
DISCARD = """
UPDATE documents SET status = 'deleting' WHERE document_id = $1 AND status = 'uploading' AND process_id = $2"""
BY_ID = f"SELECT {COLUMNS} FROM documents d WHERE d.document_id = $1 AND d.{VISIBLE}"
GET = f"{BY_ID} AND d.{OWNED}"
PAGE = f"""
SELECT {COLUMNS} FROM documents d WHERE d.owner_id = (SELECT id FROM users WHERE user_id = $1) AND d.{VISIBLE}
AND d.document_id < $2 ORDER BY d.document_id DESC LIMIT $3"""
OF_OWNER = select(DocumentRow.document_id).where(
    DocumentRow.document_id == bindparam("document_id"), DocumentRow.owner_id == bindparam("owner_id"), visible()
)
TEXT = "SELECT content FROM document_texts WHERE document_id = $1"
PART = "SELECT content FROM document_contents WHERE document_id = $1 AND position = $2"
BUMP_VERSION = """
UPDATE users SET documents_version = documents_version + 1
WHERE id = (SELECT owner_id FROM documents WHERE document_id = $1)"""
MARK_DELETED = f"""
UPDATE documents SET status = 'deleting', process_id = $3
WHERE document_id = $1 AND {OWNED} AND {VISIBLE} RETURNING 1"""
MARK_ALL_DELETED = """
UPDATE documents SET status = 'deleting', process_id = $2 WHERE owner_id = $1 RETURNING document_id"""
IS_DELETED = "SELECT 1 FROM documents WHERE document_id = $1 AND status = 'deleting'"
DELETE_CHUNKS = """
DELETE FROM chunks WHERE chunk_key IN (SELECT chunk_key FROM chunks WHERE document_id = $1 LIMIT $2) RETURNING 1"""
DELETE_PARTS = """
DELETE FROM document_contents WHERE document_id = $1 AND position IN (
SELECT position FROM document_contents WHERE document_id = $1 LIMIT $2) RETURNING 1"""
DELETE_TEXT = "DELETE FROM document_texts WHERE document_id = $1"
DELETE = "DELETE FROM documents WHERE document_id = $1 AND status = 'deleting'"

LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class CompletedUpload(NamedTuple):
    """An upload whose bytes are all stored."""

    document_id: str
    process_id: str
    """The process that has received it."""
    name: str
    media_type: str
    sha256: str


def document_of(row: Row) -> Document:
    """Build a document from the values of `COLUMNS`."""
    error = None if row[10] is None else DocumentFailure(row[10], row[11], bool(row[12]))
    return Document(
        document_id=str(row[0]),
        name=row[1],
        media_type=row[2],
        bytes=row[3],
        sha256=row[4],
        status=DocumentStatus(row[5]),
        created_at=row[6],
        stage=None if row[7] is None else Stage(row[7]),
        done=row[8],
        total=row[9],
        error=error,
        page_count=row[13],
        textless_pages=[] if row[14] is None else orjson.loads(row[14]),
        chunk_count=row[15],
    )


def insert_upload(document_id: str, process_id: str, now: int) -> Transaction[None]:
    """Insert the hidden row of a document whose upload begins."""
    yield Statement(INSERT_UPLOAD, (document_id, process_id, now))


def append_part(document_id: str, process_id: str, position: int, content: bytes) -> Transaction[None]:
    """Store the next part of an upload.

    Raises:
        Unavailable: the process has lost its lease meanwhile, and another one has discarded the upload.
    """
    if not (yield Statement(ADD_BYTES, (document_id, process_id, len(content)))):
        raise Unavailable("The upload was discarded because its process stopped; upload the document again.")
    yield Statement(INSERT_PART, (document_id, position, content))


def queue_upload(user_id: str, upload: CompletedUpload, now: int) -> Transaction[tuple[Document, bool]]:
    """Queue an uploaded document for its user; insert the user's row if there is none.

    Where the user has the same bytes already the upload is discarded, and that document is queued again if it failed.

    Returns:
        The document, and whether it is queued now.

    Raises:
        Unavailable: as `append_part`.
    """
    owner_id = yield from lock_owner(user_id, now)
    same = yield from first_row(Statement(SAME_BYTES, (owner_id, upload.sha256)))
    if same is not None:
        yield Statement(DISCARD, (upload.document_id, upload.process_id))
        queued = yield Statement(QUEUE_AGAIN, (same[0],))
        return (yield from by_id(str(same[0]))), bool(queued)
    values = (upload.document_id, upload.process_id, owner_id, upload.name, upload.media_type, upload.sha256)
    if not (yield Statement(QUEUE, values)):
        raise Unavailable("The upload was discarded because its process stopped; upload the document again.")
    return (yield from by_id(upload.document_id)), True


def lock_owner(user_id: str, now: int) -> Transaction[str]:
    """Lock a user's row, inserted if there is none, and return its id; parallel uploads of the user wait for it."""
    while True:
        owner_id, _ = yield from users.ensure(user_id, new_id(), now)
        if (yield Statement(LOCK_OWNER, (owner_id,))):
            return owner_id


def by_id(document_id: str) -> Transaction[Document]:
    """Return a document of any user.

    Raises:
        DocumentNotFound: there is no such document, or callers do not see it.
    """
    row = yield from first_row(Statement(BY_ID, (document_id,)))
    if row is None:
        raise DocumentNotFound
    return document_of(row)


def get(owner: str | None, document_id: str) -> Transaction[Document]:
    """Return a document of its owner, or of any user where `owner` is None.

    Raises:
        DocumentNotFound: the owner has no such document.
    """
    row = yield from first_row(Statement(GET, (document_id, owner)))
    if row is None:
        raise DocumentNotFound
    return document_of(row)


def by_ids(document_ids: Sequence[str]) -> Transaction[dict[str, Document]]:
    """Return documents of any user by id; those that callers do not see are left out."""
    found = {}
    for document_id in document_ids:
        row = yield from first_row(Statement(BY_ID, (document_id,)))
        if row is not None:
            found[document_id] = document_of(row)
    return found


def page(user_id: str, after: str | None, limit: int) -> Transaction[list[Document]]:
    """List a user's documents, newest first, after the document of that id; from the newest where it is None."""
    rows = yield Statement(PAGE, (user_id, after or LAST_ID, limit))
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
    row = yield from first_row(Statement(TEXT, (document_id,)))
    if row is None or document.status is not DocumentStatus.READY:
        raise DocumentNotReady
    return str(row[0])


def part(document_id: str, position: int) -> Transaction[bytes | None]:
    """Return a part of a document's bytes; None after the last one."""
    row = yield from first_row(Statement(PART, (document_id, position)))
    return None if row is None else bytes(row[0])


def discard_upload(document_id: str, process_id: str) -> Transaction[None]:
    """Mark an unfinished upload of this process as deleted."""
    yield Statement(DISCARD, (document_id, process_id))


def mark_deleted(owner: str | None, document_id: str, process_id: str) -> Transaction[None]:
    """Hide a document from all reads and searches; the process `process_id` deletes its rows later.

    Raises:
        DocumentNotFound: the owner has no such document.
    """
    yield Statement(BUMP_VERSION, (document_id,))
    if not (yield Statement(MARK_DELETED, (document_id, owner, process_id))):
        raise DocumentNotFound


def mark_all_deleted(owner_id: str, process_id: str) -> Transaction[list[str]]:
    """Mark all documents of an erased user as deleted, and return their ids."""
    return [str(row[0]) for row in (yield Statement(MARK_ALL_DELETED, (owner_id, process_id)))]


def delete_batch(document_id: str) -> Transaction[bool]:
    """Delete a batch of the rows of a document marked as deleted; return True if none are left, or it is not marked."""
    if not (yield Statement(IS_DELETED, (document_id,))):
        return True
    if (yield Statement(DELETE_CHUNKS, (document_id, BATCH_CHUNKS))):
        return False
    if (yield Statement(DELETE_PARTS, (document_id, BATCH_PARTS))):
        return False
    yield Statement(DELETE_TEXT, (document_id,))
    yield Statement(DELETE, (document_id,))
    return True
