"""Documents as callers see them, as scripts: how they arrive, are read, and disappear.

Lock order: the owner's row comes before documents, and a document's row before what belongs to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from app.db import users
from app.db.messages import OWNED
from app.db.transaction import Row, Statement, Transaction, first_row
from app.domain.documents import Document, DocumentFailure, DocumentStatus, Stage
from app.domain.ids import new_id
from app.errors import DocumentNotFound, DocumentNotReady, Unavailable

COLUMNS = (
    "d.document_id, d.name, d.media_type, d.bytes, d.sha256, d.status, d.created_at, d.stage, d.done, d.total, "
    "d.error_code, d.error_detail, d.retryable, d.page_count, CAST(d.textless_pages AS TEXT), d.chunk_count"
)
THERE = "status IN ('queued', 'processing', 'ready', 'failed')"
"""True for a document that callers see: not while it arrives, and not once it is deleted."""
BATCH_PARTS = 4  # 1 MB, which a full disk still has to take, since SQLite overwrites what it deletes
BATCH_CHUNKS = 250

ARRIVE = """
INSERT INTO documents (document_id, name, media_type, bytes, sha256, status, process_id, done, total, attempt, deaths,
generation, created_at) VALUES ($1, '', '', 0, '', 'uploading', $2, 0, 0, 0, 0, 0, $3)"""
COUNT = """
UPDATE documents SET bytes = bytes + $3 WHERE document_id = $1 AND status = 'uploading' AND process_id = $2
RETURNING 1"""
STORE_PART = "INSERT INTO document_contents (document_id, position, content) VALUES ($1, $2, $3)"
LOCK_OWNER = "UPDATE users SET documents_version = documents_version WHERE id = $1 AND user_id IS NOT NULL RETURNING 1"
SAME_BYTES = f"SELECT document_id FROM documents WHERE owner_id = $1 AND sha256 = $2 AND {THERE}"
QUEUE = """
UPDATE documents SET owner_id = $3, name = $4, media_type = $5, sha256 = $6, status = 'queued', process_id = NULL
WHERE document_id = $1 AND status = 'uploading' AND process_id = $2 RETURNING 1"""
QUEUE_AGAIN = """
UPDATE documents SET status = 'queued', stage = NULL, done = 0, total = 0, deaths = 0, error_code = NULL,
error_detail = NULL, retryable = NULL WHERE document_id = $1 AND status = 'failed' RETURNING 1"""
DISCARD = """
UPDATE documents SET status = 'deleting' WHERE document_id = $1 AND status = 'uploading' AND process_id = $2"""
BY_ID = f"SELECT {COLUMNS} FROM documents d WHERE d.document_id = $1 AND d.{THERE}"
GET = f"{BY_ID} AND d.{OWNED}"
PAGE = f"""
SELECT {COLUMNS} FROM documents d WHERE d.owner_id = (SELECT id FROM users WHERE user_id = $1) AND d.{THERE}
AND d.document_id < $2 ORDER BY d.document_id DESC LIMIT $3"""
OF_OWNER = f"SELECT 1 FROM documents WHERE document_id = $1 AND owner_id = $2 AND {THERE}"
TEXT = "SELECT content FROM document_texts WHERE document_id = $1"
PART = "SELECT content FROM document_contents WHERE document_id = $1 AND position = $2"
CHANGED = """
UPDATE users SET documents_version = documents_version + 1
WHERE id = (SELECT owner_id FROM documents WHERE document_id = $1)"""
DELETE = f"""
UPDATE documents SET status = 'deleting', process_id = $3 WHERE document_id = $1 AND {OWNED} AND {THERE} RETURNING 1"""
DELETE_ALL = """
UPDATE documents SET status = 'deleting', process_id = $2 WHERE owner_id = $1 RETURNING document_id"""
DELETED = "SELECT 1 FROM documents WHERE document_id = $1 AND status = 'deleting'"
REMOVE_CHUNKS = """
DELETE FROM chunks WHERE chunk_key IN (SELECT chunk_key FROM chunks WHERE document_id = $1 LIMIT $2) RETURNING 1"""
REMOVE_PARTS = """
DELETE FROM document_contents WHERE document_id = $1 AND position IN (
SELECT position FROM document_contents WHERE document_id = $1 LIMIT $2) RETURNING 1"""
REMOVE_TEXT = "DELETE FROM document_texts WHERE document_id = $1"
REMOVE = "DELETE FROM documents WHERE document_id = $1 AND status = 'deleting'"

LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class Arrived(NamedTuple):
    """A document whose bytes are all stored."""

    document_id: str
    process_id: str
    """The process that has received it."""
    name: str
    media_type: str
    sha256: str


def document_of(row: Row) -> Document:
    """A document from the values of `COLUMNS`."""
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


def arrive(document_id: str, process_id: str, now: int) -> Transaction[None]:
    """Makes the hidden row of a document that begins to arrive."""
    yield Statement(ARRIVE, (document_id, process_id, now))


def store_part(document_id: str, process_id: str, position: int, content: bytes) -> Transaction[None]:
    """Stores the next part of a document that arrives.

    Raises:
        Unavailable: the process has lost its lease meanwhile, and the document was given up.
    """
    if not (yield Statement(COUNT, (document_id, process_id, len(content)))):
        raise Unavailable("The upload was given up.")
    yield Statement(STORE_PART, (document_id, position, content))


def queue(user_id: str, arrived: Arrived, now: int) -> Transaction[tuple[Document, bool]]:
    """Gives a document to its user, whose row is made if need be; the same bytes are the document that is there.

    Gives the document, and whether it is to be read now: False for one that was there and has not failed.

    Raises:
        Unavailable: as `store_part`.
    """
    owner_id = yield from locked_owner(user_id, now)
    same = yield from first_row(Statement(SAME_BYTES, (owner_id, arrived.sha256)))
    if same is not None:
        yield Statement(DISCARD, (arrived.document_id, arrived.process_id))
        queued = yield Statement(QUEUE_AGAIN, (same[0],))
        return (yield from by_id(str(same[0]))), bool(queued)
    values = (arrived.document_id, arrived.process_id, owner_id, arrived.name, arrived.media_type, arrived.sha256)
    if not (yield Statement(QUEUE, values)):
        raise Unavailable("The upload was given up.")
    return (yield from by_id(arrived.document_id)), True


def locked_owner(user_id: str, now: int) -> Transaction[str]:
    """The id of a user's row, made if need be and locked: who uploads the same bytes at once is second."""
    while True:
        owner_id, _ = yield from users.ensure(user_id, new_id(), now)
        if (yield Statement(LOCK_OWNER, (owner_id,))):
            return owner_id


def by_id(document_id: str) -> Transaction[Document]:
    """A document, whoever's it is.

    Raises:
        DocumentNotFound: it is not there.
    """
    row = yield from first_row(Statement(BY_ID, (document_id,)))
    if row is None:
        raise DocumentNotFound
    return document_of(row)


def get(owner: str | None, document_id: str) -> Transaction[Document]:
    """A document of its owner.

    Raises:
        DocumentNotFound: the owner has none such.
    """
    row = yield from first_row(Statement(GET, (document_id, owner)))
    if row is None:
        raise DocumentNotFound
    return document_of(row)


def present(document_ids: Sequence[str]) -> Transaction[dict[str, Document]]:
    """Those of the documents that are there, by id."""
    found = {}
    for document_id in document_ids:
        row = yield from first_row(Statement(BY_ID, (document_id,)))
        if row is not None:
            found[document_id] = document_of(row)
    return found


def page(user_id: str, behind: str | None, limit: int) -> Transaction[list[Document]]:
    """A user's documents, the newest first, from behind the one of that id."""
    rows = yield Statement(PAGE, (user_id, behind or LAST_ID, limit))
    return [document_of(row) for row in rows]


def require(owner_id: str, document_ids: Sequence[str]) -> Transaction[None]:
    """Makes sure that the user whose row has this id has these documents.

    Raises:
        DocumentNotFound: one of them is another's, or not there.
    """
    for document_id in document_ids:
        if not (yield Statement(OF_OWNER, (document_id, owner_id))):
            raise DocumentNotFound


def text(owner: str | None, document_id: str) -> Transaction[str]:
    """The text that was read out of a document.

    Raises:
        DocumentNotFound: the owner has none such.
        DocumentNotReady: it has not been read.
    """
    document = yield from get(owner, document_id)
    row = yield from first_row(Statement(TEXT, (document_id,)))
    if row is None or document.status is not DocumentStatus.READY:
        raise DocumentNotReady
    return str(row[0])


def part(document_id: str, position: int) -> Transaction[bytes | None]:
    """A part of a document's bytes; None behind the last."""
    row = yield from first_row(Statement(PART, (document_id, position)))
    return None if row is None else bytes(row[0])


def discard(document_id: str, process_id: str) -> Transaction[None]:
    """Gives up a document that was arriving; it is to be removed now."""
    yield Statement(DISCARD, (document_id, process_id))


def delete(owner: str | None, document_id: str, process_id: str) -> Transaction[None]:
    """Hides a document for good, from all readers and searches at once; the process is to remove it.

    Raises:
        DocumentNotFound: the owner has none such.
    """
    yield Statement(CHANGED, (document_id,))
    if not (yield Statement(DELETE, (document_id, owner, process_id))):
        raise DocumentNotFound


def delete_all(owner_id: str, process_id: str) -> Transaction[list[str]]:
    """Hides all documents of a user who is being erased, and gives their ids; the process is to remove them."""
    return [str(row[0]) for row in (yield Statement(DELETE_ALL, (owner_id, process_id)))]


def remove_some(document_id: str) -> Transaction[bool]:
    """Removes a batch of what a deleted document consists of; True when nothing is left of it, or it is not deleted."""
    if not (yield Statement(DELETED, (document_id,))):
        return True
    if (yield Statement(REMOVE_CHUNKS, (document_id, BATCH_CHUNKS))):
        return False
    if (yield Statement(REMOVE_PARTS, (document_id, BATCH_PARTS))):
        return False
    yield Statement(REMOVE_TEXT, (document_id,))
    yield Statement(REMOVE, (document_id,))
    return True
