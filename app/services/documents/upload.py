from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.db import uploads
from app.db.database import Database
from app.db.uploads import CompletedUpload
from app.domain.documents import Document
from app.domain.file_names import display_name
from app.domain.ids import new_id, now_ms
from app.errors import UnsupportedMediaType
from app.rag.extraction.media_types import WINDOW, detect_media_type
from app.rag.extraction.registry import readable_extensions
from app.services.documents.deletion import DocumentDeleter


class Upload:
    """A document that arrives in parts: hidden until `finish`, and deleted if the block is left without that.

    Each part is stored at once, as a small row in a transaction of its own, since SQLite has one writer.
    """

    def __init__(
        self, database: Database, deleter: DocumentDeleter, process_id: str, on_queued: Callable[[], None]
    ) -> None:
        self._database = database
        self._deleter = deleter
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
            self._deleter.discard(self._document_id)

    async def write(self, part: bytes) -> None:
        """Store the next part, of at most 256 KB.

        Raises:
            DatabaseUnavailable: there is no room for it, or the database is out of reach.
        """
        await self._database.require_space(len(part))
        position, self._parts = self._parts, self._parts + 1
        if position == 0:
            await self._database.write(uploads.insert_upload, self._document_id, self._process_id, now_ms())
        await self._database.write(uploads.append_part, self._document_id, self._process_id, position, part)
        self._hash.update(part)
        self._head += part[: WINDOW - len(self._head)]
        self._tail = (self._tail + part)[-WINDOW:]

    async def finish(
        self,
        user_id: str,
        file_name: str,
        *,
        keep_links: bool = False,
        charset: str | None = None,
        reread: bool = False,
    ) -> tuple[Document, bool]:
        """Queue the document for its user, or rename and return the one that the user has with the same bytes.

        Args:
            user_id: The user.
            file_name: As given by the client.
            keep_links: Whether the addresses of links are to be part of the text.
            charset: Name of a text's encoding, if the client gives one.
            reread: Whether to read bytes again that the user has already, as a document in the place of the old one.

        Returns:
            The document, and whether it was queued now.

        Raises:
            UnsupportedMediaType: its format is not supported.
        """
        name = display_name(file_name)
        media_type = detect_media_type(self._head, self._tail, name)
        if media_type is None:
            raise UnsupportedMediaType(f"Upload a document as {', '.join(readable_extensions())}.")
        upload = CompletedUpload(
            self._document_id,
            self._process_id,
            name,
            media_type,
            self._hash.hexdigest(),
            keep_links=keep_links,
            charset=charset,
            reread=reread,
        )
        document, queued = await self._database.write(uploads.queue_upload, user_id, upload, now_ms())
        self._finished = document.document_id == self._document_id
        if queued:
            self._on_queued()
        return document, queued
