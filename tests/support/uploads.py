"""Forms of uploads, valid and invalid."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from app.db import users
from app.db.connect import connect
from app.db.database import Database
from app.db.models import DocumentRow
from app.db.transaction import Transaction
from app.domain.ids import new_id
from tests.support.sql import run_sql

BOUNDARY = "a1b2c3d4e5f6"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(headers: str | bytes, content: bytes) -> bytes:
    """Build a part of a form."""
    raw = headers if isinstance(headers, bytes) else headers.encode()
    return f"--{BOUNDARY}\r\n".encode() + raw + b"\r\n\r\n" + content + b"\r\n"


def user_part(user_id: str = "ada") -> bytes:
    """Build the part with the user's id."""
    return part('Content-Disposition: form-data; name="user_id"', user_id.encode())


def file_part(content: bytes = b"Some text.", name: str = "notes.txt") -> bytes:
    """Build the part with the file."""
    return part(f'Content-Disposition: form-data; name="file"; filename="{name}"', content)


def form(*parts: bytes) -> bytes:
    """Build a whole form."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    """Generate a body of unknown length in these pieces."""
    for each in given:
        yield each


async def counts(database: Any) -> dict[str, int]:
    """Count the rows of documents and of their parts."""

    def transaction() -> Transaction[dict[str, int]]:
        found = {}
        for table in ("documents", "document_contents", "document_texts", "chunks"):
            [(found[table],)] = yield from run_sql(f"SELECT COUNT(*) FROM {table}")
        return found

    if not isinstance(database, str):
        return await database.read(transaction)  # type: ignore[no-any-return]  # what the transaction returns
    opened = connect(database, pool_size=1)
    try:
        return await opened.read(transaction)
    finally:
        await opened.close()


async def add_documents(database: Database, user_id: str, document_ids: Sequence[str]) -> None:
    """Store rows of documents with these ids, without contents."""
    owner_id, _ = await database.write(users.ensure, user_id, new_id(), 0)
    shared = {"name": "a", "media_type": "text/plain", "bytes": 0, "status": "failed", "created_at": 0}
    async with database.write_session() as session:
        session.add_all(
            DocumentRow(document_id=each, owner_id=owner_id, sha256=each, **shared) for each in document_ids
        )


NOTHING = {"documents": 0, "document_contents": 0, "document_texts": 0, "chunks": 0}
