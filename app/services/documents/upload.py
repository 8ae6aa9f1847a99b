from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.db import documents
from app.db.database import Database
from app.db.documents import Arrived
from app.domain.documents import Document
from app.domain.file_names import display_name
from app.domain.ids import new_id, now_ms
from app.errors import UnsupportedMediaType
from app.rag.extraction.media_types import WINDOW, media_type_of
from app.services.documents.deletion import DocumentDeleter


class Upload:
    """A document that arrives, a part at a time; hidden until `finish`, and removed when it is left without.

    Its parts are stored as they come: small rows, in transactions of their own, since SQLite has one writer.
    """

    def __init__(
        self, database: Database, removals: DocumentDeleter, process_id: str, on_queued: Callable[[], None]
    ) -> None:
        self._database = database
        self._removals = removals
        self._process_id = process_id
        self._on_queued = on_queued
        self._document_id = new_id()
        self._parts = 0
        self._hash = hashlib.sha256()
        self._head = self._tail = b""
        self._finished = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._parts and not self._finished:
            self._removals.discard(self._document_id)

    async def write(self, part: bytes) -> None:
        """Stores the next part, of at most 256 KB.

        Raises:
            DatabaseUnavailable: there is no room for it, or the database is out of reach.
        """
        await self._database.require_space(len(part))
        position, self._parts = self._parts, self._parts + 1
        if position == 0:
            await self._database.write(documents.arrive, self._document_id, self._process_id, now_ms())
        await self._database.write(documents.store_part, self._document_id, self._process_id, position, part)
        self._hash.update(part)
        self._head += part[: WINDOW - len(self._head)]
        self._tail = (self._tail + part)[-WINDOW:]

    async def finish(self, user_id: str, file_name: str) -> tuple[Document, bool]:
        """Queues the document for its user; the same bytes again give the document that is there.

        Gives the document, and whether it is to be read now.

        Raises:
            UnsupportedMediaType: it is of no kind that is read here.
        """
        name = display_name(file_name)
        media_type = media_type_of(self._head, self._tail, name)
        if media_type is None:
            raise UnsupportedMediaType("Documents are read as .txt, .md, .html, .pdf, .docx and .csv.")
        arrived = Arrived(self._document_id, self._process_id, name, media_type, self._hash.hexdigest())
        document, to_be_read = await self._database.write(documents.queue, user_id, arrived, now_ms())
        self._finished = document.document_id == self._document_id
        if to_be_read:
            self._on_queued()
        return document, to_be_read
