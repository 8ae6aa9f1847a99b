"""The embedded embedding model: queries in a thread of this process, passages in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.errors import EmbeddingFailed
from app.rag.models.embedder import Vector
from app.rag.models.embedding_worker import LENGTH_BYTES, START, message
from app.rag.models.minilm import DIMENSION, MiniLm

ROOT = Path(__file__).parents[3]
"""Where the package `app` lies."""
TEXTS = 32
"""Sent at once: some three seconds of work, after which another document gets its turn."""
PATIENCE_SECONDS = 120.0
IDLE_SECONDS = 60.0
VECTOR_BYTES = 4 * DIMENSION


class LocalEmbedder:
    """all-MiniLM-L6-v2, on the processor, loaded on first use.

    Passages are embedded at a low priority and outside of this process, so that they hold no stream up; that process
    ends after a minute without work.
    """

    name = "local:all-MiniLM-L6-v2-int8"
    weight = 1.0

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def embed_query(self, text: str) -> Vector:
        """See `Embedder.embed_query`; some 5 ms."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embedded, text)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder.embed_passages`; a second for some ten passages of 200 tokens."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), TEXTS):
            async with self._turn:
                vectors += await self._exchanged(texts[start : start + TEXTS])
        return vectors

    async def aclose(self) -> None:
        """Ends the process and the thread."""
        async with self._turn:
            await self._end()
        self._thread.shutdown(wait=False)

    def _embedded(self, text: str) -> Vector:
        return self._model.vectors([text])[0]

    @functools.cached_property
    def _model(self) -> MiniLm:
        return MiniLm()

    async def _exchanged(self, texts: Sequence[str]) -> list[Vector]:
        if self._idle is not None:
            self._idle.cancel()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await self._answer(message(json.dumps(list(texts)).encode()))
        except (OSError, EOFError, TimeoutError) as error:
            await self._end()
            raise EmbeddingFailed from error
        except asyncio.CancelledError:
            await self._end()  # its answer would be taken for the next one's
            raise
        self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._close)
        return [answer[place : place + VECTOR_BYTES] for place in range(0, len(answer), VECTOR_BYTES)]

    async def _answer(self, question: bytes) -> bytes:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await started()
        if process.stdin is None or process.stdout is None:
            raise EOFError
        process.stdin.write(question)
        await process.stdin.drain()
        length = await process.stdout.readexactly(LENGTH_BYTES)
        return await process.stdout.readexactly(int.from_bytes(length))

    def _close(self) -> None:
        """Lets the process end, which it does at the end of its input, unless it has just got work again."""
        if not self._turn.locked() and self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process = None

    async def _end(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def started() -> asyncio.subprocess.Process:
    """The process, which says what is wrong with its exit code alone: its words belong in no log."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", START, str(ROOT)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
