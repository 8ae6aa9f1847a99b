"""Transactions of uploads: a document's bytes arrive in parts, and it is queued for its user.

Of the documents of a user that have the same bytes one is *in place*. While such a document is read again there is a
second one, which `replaces` it, and takes its place once it is ready (`app.db.ingestion.mark_ready`).

Lock order: as in `app.db.documents`.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import and_, bindparam, func, select, update

from app.db import users
from app.db.documents import BY_ID, by_id
from app.db.expressions import insert_into
from app.db.models import DocumentContentRow, DocumentRow, HiddenStatus, UserRow
from app.db.predicates import visible
from app.db.transaction import Row, Transaction, execute, fetch_one
from app.domain.documents import Document, DocumentStatus
from app.domain.ids import new_id
from app.errors import Unavailable

OWN_UPLOAD = and_(BY_ID, DocumentRow.status == HiddenStatus.UPLOADING, DocumentRow.process_id == bindparam("receiver"))
INSERT_UPLOAD = insert_into(
    DocumentRow,
    "document_id",
    "process_id",
    "created_at",
    name="",
    media_type="",
    bytes=0,
    sha256="",
    status=HiddenStatus.UPLOADING,
    done=0,
    total=0,
    attempt=0,
    deaths=0,
    generation=0,
    analysis=0,
    keep_links=False,
)
ADD_BYTES = (
    update(DocumentRow)
    .where(OWN_UPLOAD)
    .values(bytes=DocumentRow.bytes + bindparam("size"))
    .returning(DocumentRow.document_id)
)
INSERT_PART = insert_into(DocumentContentRow)
LOCK_OWNER = (
    update(UserRow)
    .where(UserRow.id == bindparam("owner_id"), UserRow.user_id.is_not(None))
    .values(documents_version=UserRow.documents_version)
    .returning(UserRow.id)
)
# Searches show the name, and choose among the versions of one.
BUMP_VERSION = (
    update(UserRow).where(UserRow.id == bindparam("owner_id")).values(documents_version=UserRow.documents_version + 1)
)
FOUND = select(
    DocumentRow.document_id,
    DocumentRow.name,
    DocumentRow.media_type,
    DocumentRow.status,
    DocumentRow.keep_links,
    DocumentRow.charset,
    func.coalesce(DocumentRow.uploaded_at, DocumentRow.created_at).label("uploaded_at"),
).where(visible())
IN_PLACE = FOUND.where(
    DocumentRow.owner_id == bindparam("owner_id"),
    DocumentRow.sha256 == bindparam("sha256"),
    DocumentRow.replaces.is_(None),
)
REPLACEMENT = FOUND.where(DocumentRow.replaces == bindparam("document_id"))
RENAME = (
    update(DocumentRow)
    .where(BY_ID)
    .values(name=bindparam("name"), media_type=bindparam("media_type"), uploaded_at=bindparam("uploaded_at"))
)
QUEUE = (
    update(DocumentRow)
    .where(OWN_UPLOAD)
    .values(
        owner_id=bindparam("owner_id"),
        name=bindparam("name"),
        media_type=bindparam("media_type"),
        sha256=bindparam("sha256"),
        keep_links=bindparam("keep_links"),
        charset=bindparam("charset"),
        replaces=bindparam("replaces"),
        uploaded_at=bindparam("uploaded_at"),
        status=DocumentStatus.QUEUED,
        process_id=None,
    )
    .returning(DocumentRow.document_id)
)
QUEUE_AGAIN = (
    update(DocumentRow)
    .where(BY_ID)
    .values(
        keep_links=bindparam("keep_links"),
        charset=bindparam("charset"),
        status=DocumentStatus.QUEUED,
        stage=None,
        done=0,
        total=0,
        seconds_left=None,
        process_id=None,
        deaths=0,
        error_code=None,
        error_detail=None,
        retryable=None,
    )
)
DISCARD = update(DocumentRow).where(OWN_UPLOAD).values(status=HiddenStatus.DELETING)


class CompletedUpload(NamedTuple):
    """An upload whose bytes are all stored."""

    document_id: str
    process_id: str
    """The process that has received it."""
    name: str
    media_type: str
    sha256: str
    keep_links: bool = False
    """True if the addresses of links are to be part of the text."""
    charset: str | None = None
    """Name of a text's encoding, if the client has given one."""
    reread: bool = False
    """True if bytes that the user has already are to be read again."""


def insert_upload(document_id: str, process_id: str, now: int) -> Transaction[None]:
    """Insert the hidden row of a document whose upload begins."""
    yield from execute(INSERT_UPLOAD, document_id=document_id, process_id=process_id, created_at=now)


def append_part(document_id: str, process_id: str, position: int, content: bytes) -> Transaction[None]:
    """Store the next part of an upload.

    Raises:
        Unavailable: the process has lost its lease meanwhile, and another one has discarded the upload.
    """
    if not (yield from execute(ADD_BYTES, document_id=document_id, receiver=process_id, size=len(content))):
        raise Unavailable("The upload was discarded because its process stopped; upload the document again.")
    yield from execute(INSERT_PART, document_id=document_id, position=position, content=content)


def queue_upload(user_id: str, upload: CompletedUpload, now: int) -> Transaction[tuple[Document, bool]]:
    """Queue an uploaded document for its user; insert the user's row if there is none.

    Where the user has the same bytes already, that document gets the upload's name and media type, and the upload is
    discarded: unless the bytes are to be read again and are not being read now.

    Returns:
        The document, and whether it is queued now.

    Raises:
        Unavailable: as `append_part`.
    """
    owner_id = yield from lock_owner(user_id, now)
    same = yield from fetch_one(IN_PLACE, owner_id=owner_id, sha256=upload.sha256)
    if same is None:
        return (yield from queue_new(owner_id, upload, now)), True
    # Reading the bytes of an older version again does not make it the newest one.
    uploaded_at = same.uploaded_at if upload.reread and upload.name == same.name else now
    replacement = yield from fetch_one(REPLACEMENT, document_id=same.document_id)
    for each in (same, replacement):
        if each is not None:
            yield from rename(each.document_id, upload, uploaded_at)
    yield from execute(BUMP_VERSION, owner_id=owner_id)
    target = replacement if replacement is not None and upload.reread else same
    if upload.reread and target.status == DocumentStatus.READY:
        return (yield from queue_new(owner_id, upload, uploaded_at, replaces=same.document_id)), True
    yield from discard_upload(upload.document_id, upload.process_id)
    queued = needs_reading(target, upload)
    if queued:
        yield from execute(
            QUEUE_AGAIN, document_id=target.document_id, keep_links=upload.keep_links, charset=upload.charset
        )
    return (yield from by_id(target.document_id)), queued


def queue_new(
    owner_id: str, upload: CompletedUpload, uploaded_at: int, replaces: str | None = None
) -> Transaction[Document]:
    """Queue an upload as a document of its own, or as one that takes another's place once it is ready.

    Raises:
        Unavailable: as `append_part`.
    """
    queued = yield from execute(
        QUEUE,
        document_id=upload.document_id,
        receiver=upload.process_id,
        owner_id=owner_id,
        name=upload.name,
        media_type=upload.media_type,
        sha256=upload.sha256,
        keep_links=upload.keep_links,
        charset=upload.charset,
        replaces=replaces,
        uploaded_at=uploaded_at,
    )
    if not queued:
        raise Unavailable("The upload was discarded because its process stopped; upload the document again.")
    return (yield from by_id(upload.document_id))


def rename(document_id: str, upload: CompletedUpload, uploaded_at: int) -> Transaction[None]:
    """Give a document the name and the media type of an upload of the same bytes."""
    yield from execute(
        RENAME,
        document_id=document_id,
        name=upload.name,
        media_type=upload.media_type,
        uploaded_at=uploaded_at,
    )


def needs_reading(found: Row, upload: CompletedUpload) -> bool:
    """Return whether a document has to be queued for an upload of the same bytes.

    It has if it failed, or if the upload wants it read in another way than that in which it is being read.
    """
    if found.status == DocumentStatus.FAILED:
        return True
    if found.status == DocumentStatus.READY or not upload.reread:
        return False
    as_wanted = upload.keep_links, upload.charset, upload.media_type
    return (found.keep_links, found.charset, found.media_type) != as_wanted


def lock_owner(user_id: str, now: int) -> Transaction[str]:
    """Lock a user's row, inserted if there is none, and return its id; parallel uploads of the user wait for it."""
    while True:
        owner_id, _ = yield from users.ensure(user_id, new_id(), now)
        if (yield from execute(LOCK_OWNER, owner_id=owner_id)):
            return owner_id


def discard_upload(document_id: str, process_id: str) -> Transaction[None]:
    """Mark an unfinished upload of this process as deleted."""
    yield from execute(DISCARD, document_id=document_id, receiver=process_id)
