"""Ingest of files by the service."""

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
from evals.service import EvalClient
from evals.vectors import CachedEmbedder

UPLOADS = 4
"""Concurrent uploads."""

Files = Sequence[tuple[str, str, bytes]]
"""For each file its key in the evaluation, its name and its content."""


@dataclass(frozen=True)
class Library:
    """A user's documents and their keys in the evaluation."""

    user_id: str
    documents: Mapping[str, str]
    """Document ids by key."""
    notes: Mapping[str, Any]
    """Counts and durations of the ingest."""

    def items(self, found: Iterable[str]) -> list[str]:
        """Return the keys of ranked documents, each once at its best rank; copies of one file share a rank."""
        return [item for document_id in dict.fromkeys(found) for item in self._items[document_id]]

    @functools.cached_property
    def _items(self) -> dict[str, list[str]]:
        items: dict[str, list[str]] = {}
        for item, document_id in self.documents.items():
            items.setdefault(document_id, []).append(item)
        return items


def corpus_files(corpus: Sequence[Item]) -> Files:
    """Return the files of a corpus's items, under different names: those of one name would be versions of it."""
    names = Counter(each.name for each in corpus)
    return [(each.item_id, unique_name(each) if names[each.name] > 1 else each.name, each.content) for each in corpus]


def unique_name(item: Item) -> str:
    """Return the name of an item's file with the item's id."""
    return f"{item.name.removesuffix('.md')} {item.item_id.replace('/', ' ')}.md"


async def ingest(client: EvalClient, files: Files, vectors: CachedEmbedder | None) -> Library:
    """Upload the files of the client's user and wait until each is ready or has failed permanently."""
    before, begun = vectors.computed if vectors else 0, time.perf_counter()
    documents = await upload_all(client, files)
    found: list[dict[str, Any]] = []
    async for found in client.poll_documents():
        ready = sum(each["status"] == "ready" for each in found)
        show_progress(f"{client.user_id}: {ready} of {len(found)} documents ready")
    show_progress("")
    seconds = time.perf_counter() - begun
    notes = {
        "documents": len(found),
        "chunks": sum(each["chunk_count"] or 0 for each in found),
        "seconds": seconds,
        "documents/s": len(found) / seconds,
        "embedded": vectors.computed - before if vectors else 0,
        "failed": dict(Counter(each["error"]["code"] for each in found if each["status"] == "failed")) or 0,
    }
    return Library(client.user_id, documents, notes)


async def upload_all(client: EvalClient, files: Files) -> dict[str, str]:
    """Upload files, several at once, and return the document ids by key."""
    documents: dict[str, str] = {}
    queue: Iterator[tuple[str, str, bytes]] = iter(files)

    async def uploader() -> None:
        for key, name, content in queue:
            documents[key] = (await client.upload(content, name))["document_id"]
            if len(documents) % 100 == 0:
                show_progress(f"{client.user_id}: {len(documents)} of {len(files)} files sent")

    async with asyncio.TaskGroup() as uploaders:
        for _ in range(UPLOADS):
            uploaders.create_task(uploader())
    return documents


def show_progress(text: str) -> None:
    """Replace the line of progress on a terminal; do nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
