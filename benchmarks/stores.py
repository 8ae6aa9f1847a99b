"""Conversations inserted as rows, a thousand times faster than by turns."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from app.api import pagination
from app.domain.ids import new_id
from benchmarks.provider import reply_text

REPLY_TOKENS = 64
QUESTION = "What became of item {}, and who would want to know?"


@dataclass(frozen=True)
class Batch:
    """Rows of a table."""

    table: str
    columns: tuple[str, ...]
    rows: Iterable[tuple[Any, ...]]


class Database(ABC):
    """The database of a measured server, in which rows are inserted."""

    @abstractmethod
    async def insert(self, batches: Iterable[Batch]) -> None:
        """Insert rows, and do the maintenance that the database would do by itself later."""


class SqliteFile(Database):
    def __init__(self, url: str) -> None:
        self._path = url.removeprefix("sqlite:///")

    async def insert(self, batches: Iterable[Batch]) -> None:
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as connection:
            with connection:
                for each in batches:
                    places = ", ".join("?" * len(each.columns))
                    into = f"INSERT INTO {each.table} ({', '.join(each.columns)}) VALUES ({places})"
                    connection.executemany(into, each.rows)
            # Otherwise the first commits of the server would move these rows from the log into the file.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class PostgresServer(Database):
    def __init__(self, url: str) -> None:
        self._url = url

    async def insert(self, batches: Iterable[Batch]) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            for each in batches:
                await connection.copy_records_to_table(each.table, columns=each.columns, records=each.rows)
                await connection.execute(f"ANALYZE {each.table}")
        finally:
            await connection.close()


@dataclass(frozen=True)
class ConversationList:
    """A user with many conversations."""

    user_id: str
    newest: str
    """First conversation of the first page."""
    deep_cursor: str
    deep_first: str
    """First conversation of the page at that cursor."""


class Store(ABC):
    """Creates conversations for one kind of server."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now = time.time_ns() // 1_000_000

    @abstractmethod
    async def conversations(self, count: int, length: int) -> list[str]:
        """Create conversations of `length` messages each and return their ids."""

    @abstractmethod
    async def conversation_list(self, total: int, limit: int) -> ConversationList:
        """Create a user with `total` conversations; at least `limit` of them follow the deep cursor."""


def exchange(length: int) -> Iterator[tuple[int, str, str]]:
    """Yield the messages of a conversation: number, role and text."""
    for number in range(1, length + 1):
        if number % 2:
            yield number, "user", QUESTION.format(number)
        else:
            yield number, "assistant", reply_text(REPLY_TOKENS)


def deep_place(total: int, limit: int) -> int:
    """Return the place of the deep page: nine tenths down, as long as a full page is left."""
    return min(total * 9 // 10, total - limit)


class ParleyStore(Store):
    """Inserts rows as Parley's turns store them."""

    USERS = ("id", "user_id", "created_at")
    CONVERSATIONS = (
        *("conversation_id", "owner_id", "last_sequence", "message_count", "title", "title_source"),
        *("mode", "metadata", "created_at", "updated_at"),
    )
    MESSAGES = (
        *("message_id", "conversation_id", "sequence_number", "role", "content", "status", "answers"),
        *("provider", "model", "mode", "finish_reason", "input_tokens", "output_tokens", "usage_estimated"),
        *("created_at", "started_at", "completed_at"),
    )
    REPLIED = ("openai", "bench", "open", "stop", 100, REPLY_TOKENS, False)
    NOT_REPLIED = (None,) * len(REPLIED)

    async def conversations(self, count: int, length: int) -> list[str]:
        """See `Store.conversations`."""
        owner, ids = new_id(), [new_id() for _ in range(count)]
        messages = (self._message(each, *message) for each in ids for message in exchange(length))
        users = Batch("users", self.USERS, [(owner, f"user-{owner}", self._now)])
        await self._database.insert([users, self._rows(owner, ids, length), Batch("messages", self.MESSAGES, messages)])
        return ids

    async def conversation_list(self, total: int, limit: int) -> ConversationList:
        """See `Store.conversation_list`."""
        owner, ids = new_id(), [new_id() for _ in range(total)]
        users = Batch("users", self.USERS, [(owner, f"user-{owner}", self._now)])
        await self._database.insert([users, self._rows(owner, ids, 2)])
        oldest_first = total - deep_place(total, limit)
        behind = pagination.encode_cursor(self._now + oldest_first, ids[oldest_first])
        return ConversationList(f"user-{owner}", ids[-1], behind, ids[oldest_first - 1])

    def _rows(self, owner: str, ids: list[str], length: int) -> Batch:
        constant = ("message", "open", "{}", self._now)
        rows = (
            (each, owner, length, length, f"What became of item {number}", *constant, self._now + number)
            for number, each in enumerate(ids)
        )
        return Batch("conversations", self.CONVERSATIONS, rows)

    def _message(self, conversation: str, number: int, role: str, text: str) -> tuple[Any, ...]:
        reply = role == "assistant"
        answers, more = (number - 1, self.REPLIED) if reply else (None, self.NOT_REPLIED)
        started = self._now if reply else None
        return (new_id(), conversation, number, role, text, "completed", answers, *more, self._now, started, self._now)


class FloorStore(Store):
    """Inserts rows of the floor, whose ids are numbers."""

    CONVERSATIONS = ("id", "user_id", "title", "created_at")
    MESSAGES = ("conversation_id", "sequence_number", "role", "content")

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._ids = itertools.count(1)

    async def conversations(self, count: int, length: int) -> list[str]:
        """See `Store.conversations`."""
        ids = list(itertools.islice(self._ids, count))
        messages = ((each, *message) for each in ids for message in exchange(length))
        await self._database.insert([self._rows("bench", ids), Batch("messages", self.MESSAGES, messages)])
        return list(map(str, ids))

    async def conversation_list(self, total: int, limit: int) -> ConversationList:
        """See `Store.conversation_list`."""
        ids = list(itertools.islice(self._ids, total))
        user_id = f"user-{ids[0]}"
        await self._database.insert([self._rows(user_id, ids)])
        oldest_first = total - deep_place(total, limit)
        return ConversationList(user_id, str(ids[-1]), str(ids[oldest_first]), str(ids[oldest_first - 1]))

    def _rows(self, user_id: str, ids: list[int]) -> Batch:
        rows = ((each, user_id, f"What became of item {each}", self._now) for each in ids)
        return Batch("conversations", self.CONVERSATIONS, rows)


class NoStore(Store):
    """Creates ids without storing anything."""

    def __init__(self) -> None:
        pass

    async def conversations(self, count: int, length: int) -> list[str]:  # noqa: ARG002
        """See `Store.conversations`."""
        return [str(number) for number in range(count)]

    async def conversation_list(self, total: int, limit: int) -> ConversationList:
        """See `Store.conversation_list`."""
        raise NotImplementedError
