"""The serving processes of a history, which are killed, drained and replaced."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any, Self

from tests.support.process import GONE, Parley, parley_process

DRAIN_SECONDS = 15


class Fleet:
    """Processes on one database; `serving` are those that accept requests now."""

    def __init__(self, directory: Path, count: int, settings: dict[str, Any]) -> None:
        self.serving: list[Parley] = []
        self.faults: list[str] = []
        self._directory = directory
        self._count = count
        self._settings = settings
        self._stacks: dict[Parley, contextlib.AsyncExitStack] = {}

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(self._start() for _ in range(self._count)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.serving.clear()
        await asyncio.gather(*(stack.aclose() for stack in self._stacks.values()))

    async def crash(self, chance: random.Random) -> None:
        """Kill a process, and start another."""
        parley = chance.choice(self.serving)
        self.serving.remove(parley)
        parley.kill()
        await self._stacks.pop(parley).aclose()
        await self._start()

    async def drain(self, chance: random.Random) -> None:
        """Drain a process, which accepts requests meanwhile, and start another."""
        parley = chance.choice(self.serving)
        parley.terminate()
        status = await parley.wait(DRAIN_SECONDS)
        if status not in GONE:
            self.faults.append(f"a drained process ended with {status}: {parley.lines[-5:]}")
        self.serving.remove(parley)
        await self._stacks.pop(parley).aclose()
        await self._start()

    async def _start(self) -> None:
        stack = contextlib.AsyncExitStack()
        parley = await stack.enter_async_context(parley_process(self._directory, **self._settings))
        self._stacks[parley] = stack
        self.serving.append(parley)
