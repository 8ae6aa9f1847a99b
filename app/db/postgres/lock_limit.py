"""Bounds the connections that wait for the row locks of conversations, so that one locked row starves nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from app.errors import DatabaseUnavailable

SPARE_CONNECTIONS = 2
"""Connections of a pool that never wait for a conversation: for reads, heartbeats, checkpoints."""


class LockLimit:
    """Admits one transaction at a time to each conversation, and to all of them fewer than the pool has connections.

    Transactions on one conversation wait for each other in any case; here they do so without a connection.
    """

    def __init__(self, connections: int, seconds: float) -> None:
        self._seconds = seconds
        self._all = asyncio.Semaphore(max(1, connections - SPARE_CONNECTIONS))
        self._each: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def hold(self, conversation_id: str | None) -> AsyncIterator[None]:
        """Keep other transactions from the conversation within the block; None locks no conversation.

        Raises:
            DatabaseUnavailable: others have held it for too long.
        """
        if conversation_id is None:
            yield
            return
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._seconds):
                    await held.enter_async_context(self._each.setdefault(conversation_id, asyncio.Lock()))
                    await held.enter_async_context(self._all)
            except TimeoutError as error:
                raise DatabaseUnavailable(reason="another transaction keeps the conversation's row locked") from error
            yield
