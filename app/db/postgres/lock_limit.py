"""Limit on the connections that wait for conversations' row locks, so that one locked row does not exhaust the pool."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from app.errors import DatabaseUnavailable

SPARE_CONNECTIONS = 2
"""Connections of a pool that never wait for a conversation's lock: for reads, heartbeats and checkpoints."""


class LockLimit:
    """Admits one transaction at a time for each conversation, and in total fewer than the pool has connections.

    Transactions on one conversation wait for each other in any case; here they do so without a connection.
    """

    def __init__(self, connections: int, seconds: float) -> None:
        self._seconds = seconds
        self._total = asyncio.Semaphore(max(1, connections - SPARE_CONNECTIONS))
        self._by_conversation: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def hold(self, conversation_id: str | None) -> AsyncIterator[None]:
        """Exclude other transactions of this process from the conversation within the block; None excludes none.

        Raises:
            DatabaseUnavailable: other transactions held the lock for too long.
        """
        if conversation_id is None:
            yield
            return
        async with contextlib.AsyncExitStack() as locks:
            try:
                async with asyncio.timeout(self._seconds):
                    lock = self._by_conversation.setdefault(conversation_id, asyncio.Lock())
                    await locks.enter_async_context(lock)
                    await locks.enter_async_context(self._total)
            except TimeoutError as error:
                raise DatabaseUnavailable(reason="another transaction keeps the conversation's row locked") from error
            yield
