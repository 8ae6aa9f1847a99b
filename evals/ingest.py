"""Files go through the service's own ingest."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.data import Item
from evals.service import Client
from evals.vectors import Remembered

UPLOADS = 4
"""Files that are sent at once."""

Files = Sequence[tuple[str, str, bytes]]
"""Of each file what it is called here, its name, and its bytes."""


@dataclass(frozen=True)
class Shelf:
    """A user's documents, and what they are called here."""

    user_id: str
    documents: Mapping[str, str]
    """Document ids by what the files are called here."""
    notes: Mapping[str, Any]
    """What the ingest did."""

    def items(self, found: Iterable[str]) -> list[str]:
        """What documents are called here, each once, where it stands first; copies of one file stand together."""
        return [item for document_id in dict.fromkeys(found) for item in self._items[document_id]]

    @functools.cached_property
    def _items(self) -> dict[str, list[str]]:
        items: dict[str, list[str]] = {}
        for item, document_id in self.documents.items():
            items.setdefault(document_id, []).append(item)
        return items


def files_of(corpus: Sequence[Item]) -> Files:
    """The files of a corpus's items."""
    return [(each.item_id, each.name, each.content) for each in corpus]


async def shelved(client: Client, user_id: str, files: Files, vectors: Remembered | None) -> Shelf:
    """Uploads a user's files and waits until each is ready, or has failed for good."""
    before, begun = vectors.computed if vectors else 0, time.perf_counter()
    documents = await uploaded(client, user_id, files)
    found: list[dict[str, Any]] = []
    async for found in client.settled(user_id):
        progress(f"{user_id}: {sum(each['status'] == 'ready' for each in found)} of {len(found)} documents ready")
    progress("")
    seconds = time.perf_counter() - begun
    notes = {
        "documents": len(found),
        "chunks": sum(each["chunk_count"] or 0 for each in found),
        "seconds": seconds,
        "documents/s": len(found) / seconds,
        "embedded": vectors.computed - before if vectors else 0,
        "failed": dict(Counter(each["error"]["code"] for each in found if each["status"] == "failed")) or 0,
    }
    return Shelf(user_id, documents, notes)


async def uploaded(client: Client, user_id: str, files: Files) -> dict[str, str]:
    """Sends the files, some at once; gives the documents' ids."""
    documents: dict[str, str] = {}
    waiting: Iterator[tuple[str, str, bytes]] = iter(files)

    async def sender() -> None:
        for called, name, content in waiting:
            documents[called] = await client.upload(user_id, name, content)
            if len(documents) % 100 == 0:
                progress(f"{user_id}: {len(documents)} of {len(files)} files sent")

    async with asyncio.TaskGroup() as senders:
        for _ in range(UPLOADS):
            senders.create_task(sender())
    return documents


def progress(text: str) -> None:
    """Says on a terminal how far things are, each time in the same line."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
