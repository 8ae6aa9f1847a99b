"""An embedder that waits and fails as a test wants, and records its texts."""

from __future__ import annotations

import asyncio
import hashlib
import math
import struct
from collections.abc import Sequence

from app.errors import EmbeddingFailed
from app.rag.models.calibration import Calibration
from app.rag.models.embedder import Vector

DIMENSIONS = 8


class FakeEmbedder:
    """Embeds each text in a direction of its own."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.texts: list[str] = []
        """The embedded texts, in order."""
        self.open = asyncio.Event()
        """Calls wait until it is set."""
        self.open.set()
        self.called = asyncio.Event()
        """Set at the first call."""
        self.failures = 0
        """Number of the next calls that fail."""

    async def calibration(self) -> Calibration:
        return Calibration(related=1.0, unrelated=0.0)

    async def embed_query(self, text: str) -> Vector:
        return vector(text)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        self.called.set()
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise EmbeddingFailed
        self.texts += texts
        return [vector(text) for text in texts]

    async def aclose(self) -> None:
        pass


def vector(text: str) -> Vector:
    """Return a text's own vector of length one."""
    numbers = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSIONS]]
    length = math.hypot(*numbers)
    return struct.pack(f"<{DIMENSIONS}f", *(number / length for number in numbers))
