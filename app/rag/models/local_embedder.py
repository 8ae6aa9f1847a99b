"""The embedded embedding models: queries in a thread of this process, passages in a child process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from app.errors import EmbeddingFailed
from app.rag.child_process import frame, import_path, module_command, read_frame
from app.rag.models.calibration import Calibration, measured_calibrations
from app.rag.models.embedder import Vector
from app.rag.models.embedding_worker import TEXTS, VECTORS
from app.rag.models.local_models import DEFAULT, DIMENSION, LOCAL_MODELS, Encoder

WORKER = "app.rag.models.embedding_worker"
BATCH_TEXTS = 32
"""Texts per request: some three seconds of work, after which another document gets its turn."""
ANSWER_SECONDS = 120.0
IDLE_SECONDS = 60.0
VECTOR_BYTES = 4 * DIMENSION
NO_VECTOR: Vector = bytes(VECTOR_BYTES)
"""The vector of a passage in an unknown script."""


class LocalEmbedder:
    """One of `LOCAL_MODELS` on the processor, loaded on first use.

    Passages are embedded at a low priority in a child process, so that they delay no stream; it ends after
    `idle_seconds` without work.
    """

    def __init__(
        self, model: str = DEFAULT, idle_seconds: float = IDLE_SECONDS, command: Sequence[str] | None = None
    ) -> None:
        self._local_model = LOCAL_MODELS[model]
        self.name = f"local:{self._local_model.name}"
        self._idle_seconds = idle_seconds
        self._command = command or [*module_command(WORKER), model]
        """Of the child process."""
        self._calibration = measured_calibrations()[self.name]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        """Held while the child process works on a batch."""
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def process(self) -> Process | None:
        """The child process; None before the first passages, and after it was ended."""
        return self._process

    async def calibration(self) -> Calibration:
        """Return the calibration that was measured for this release."""
        return self._calibration

    async def embed_query(self, text: str) -> Vector:
        """Embed a query, in some 5 ms, or 35 ms with the multilingual model."""
        text = f"{self._local_model.query_prefix}{text}"
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, text)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """Embed passages, some ten of 200 tokens per second; those in unknown scripts take no time."""
        prefix = self._local_model.passage_prefix
        vectors = [NO_VECTOR] * len(texts)
        known = [place for place, text in enumerate(texts) if self._calibration.knows(text)]
        for start in range(0, len(known), BATCH_TEXTS):
            batch = known[start : start + BATCH_TEXTS]
            async with self._lock:
                embedded = await self._embed_batch([f"{prefix}{texts[place]}" for place in batch])
            for place, vector in zip(batch, embedded, strict=True):
                vectors[place] = vector
        return vectors

    async def aclose(self) -> None:
        async with self._lock:
            await self._kill()
        self._thread.shutdown(wait=False)

    def _embed(self, text: str) -> Vector:
        return self._model.embed([text])[0]

    @functools.cached_property
    def _model(self) -> Encoder:
        return self._local_model.load()

    async def _embed_batch(self, texts: Sequence[str]) -> list[Vector]:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                vectors = await self._request(texts)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            await self._kill()
            raise EmbeddingFailed from error
        except asyncio.CancelledError:
            await self._kill()  # its answer would be read as the one to the next request
            raise
        self._idle_timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._end_idle)
        return [vectors[place : place + VECTOR_BYTES] for place in range(0, len(vectors), VECTOR_BYTES)]

    async def _request(self, texts: Sequence[str]) -> bytes:
        """Send texts to the child process, started if there is none; return their vectors, one after the other."""
        if self._process is None or self._process.returncode is not None:
            self._process = await start_worker(self._command)
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise EOFError
        stdin.write(frame(TEXTS, json.dumps(list(texts)).encode()))
        await stdin.drain()
        kind, vectors = await read_frame(stdout)
        if kind != VECTORS or len(vectors) != len(texts) * VECTOR_BYTES:
            raise ValueError(kind, len(vectors))
        return vectors

    def _end_idle(self) -> None:
        """Close the child's input, at which it ends, unless it has work again."""
        if not self._lock.locked() and self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process = None

    async def _kill(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def start_worker(command: Sequence[str]) -> Process:
    """Start the child process. It reports errors by its exit code alone: its output may contain users' texts."""
    environment = {**os.environ, "PYTHONPATH": import_path()}
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment)
