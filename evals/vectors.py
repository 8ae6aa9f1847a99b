"""A cache of vectors in a file, around the embedder of the service."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from app.rag.models.calibration import Calibration
from app.rag.models.embedder import Embedder, Vector


class CachedEmbedder:
    """An embedder that caches vectors of passages. Queries are embedded each time, since they are timed."""

    def __init__(self, embedder: Embedder, path: Path) -> None:
        self.name = embedder.name
        self.computed = self.cached = 0
        """Passages so far whose vectors were computed and cached."""
        self._embedder = embedder
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(path, isolation_level=None, timeout=60)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=OFF")  # lost vectors are computed again
        self._file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    async def calibration(self) -> Calibration:
        """See `Embedder`."""
        return await self._embedder.calibration()

    async def embed_query(self, text: str) -> Vector:
        """See `Embedder`."""
        return await self._embedder.embed_query(text)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder`."""
        known = {text: vector for text in texts if (vector := self._cached_vector(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        self.cached += len(texts) - len(missing)
        if missing:
            made = await self._embedder.embed_passages(missing)
            self.computed += len(missing)
            self._store(missing, made)
            known |= zip(missing, made, strict=True)
        return [known[text] for text in texts]

    async def aclose(self) -> None:
        """See `Embedder`."""
        self._file.close()
        await self._embedder.aclose()

    def _cached_vector(self, text: str) -> Vector | None:
        row = self._file.execute("SELECT vector FROM vectors WHERE key = ?", (self._key(text),)).fetchone()
        return row[0] if row else None

    def _store(self, texts: Sequence[str], vectors: Sequence[Vector]) -> None:
        rows = [(self._key(text), vector) for text, vector in zip(texts, vectors, strict=True)]
        self._file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(f"{self.name}\0{text}".encode(errors="surrogatepass")).digest()
