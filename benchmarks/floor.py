"""The floor: the least possible durable turn. A bare ASGI callable, a driver and an HTTP client, no more.

It commits the same as Parley at the same moments (the question before the model is called, the reply before the
answer ends) and implements as much of Parley's API as the load needs. It checks nothing: no owner, no input, no
limits, no failing provider. Its settings are FLOOR_DATABASE, FLOOR_SYNCHRONOUS, FLOOR_PROVIDER and FLOOR_MODEL.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import orjson

POOL_SIZE = 5
END_OF_IDS = 2**62

TABLES = (
    """CREATE TABLE IF NOT EXISTS conversations (
    id BIGINT PRIMARY KEY, user_id TEXT NOT NULL, title TEXT, created_at BIGINT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS conversations_of ON conversations (user_id, id)",
    """CREATE TABLE IF NOT EXISTS messages (
    conversation_id BIGINT NOT NULL REFERENCES conversations, sequence_number INTEGER NOT NULL,
    role TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (conversation_id, sequence_number))""",
)
ADD = """
INSERT INTO messages SELECT $1, COALESCE(MAX(sequence_number), 0) + 1, $2, $3 FROM messages
WHERE conversation_id = $1 RETURNING sequence_number"""
HISTORY = "SELECT role, content FROM messages WHERE conversation_id = $1 ORDER BY sequence_number"
PAGE = """
SELECT id, title, created_at FROM conversations WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"""


class Sqlite:
    """A connection for writing, with a transaction for each statement, and another one for reading."""

    def __init__(self, path: str, synchronous: str) -> None:
        self._path = path
        self._synchronous = synchronous

    async def open(self) -> None:
        self._writer = await self._connected()
        self._reader = await self._connected()
        for statement in TABLES:
            await self._writer.execute_fetchall(statement)

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()

    async def _connected(self):
        import aiosqlite

        connection = await aiosqlite.connect(self._path, isolation_level=None)
        for pragma in ("journal_mode = WAL", f"synchronous = {self._synchronous}", "foreign_keys = ON"):
            await connection.execute_fetchall(f"PRAGMA {pragma}")
        return connection

    async def write(self, sql: str, *values: Any) -> Sequence[Any]:
        return await self._writer.execute_fetchall(sql.replace("$", "?"), values)

    async def read(self, sql: str, *values: Any) -> Sequence[Any]:
        return await self._reader.execute_fetchall(sql.replace("$", "?"), values)


class Postgres:
    """A pool that does not reset its connections, since nothing changes them."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        import asyncpg

        self._pool = await asyncpg.create_pool(self._url, min_size=POOL_SIZE, max_size=POOL_SIZE, reset=unchanged)
        for statement in TABLES:
            await self._pool.execute(statement)
        self.read = self.write = self._pool.fetch

    async def close(self) -> None:
        await self._pool.close()


async def unchanged(_connection) -> None:
    pass


class Floor:
    """The ASGI application."""

    def __init__(self, database: Sqlite | Postgres, provider: str, model: str) -> None:
        self._database = database
        self._provider = f"{provider}/chat/completions"
        self._model = model

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "POST":
            conversation = int(scope["path"].split("/")[2])
            await self._turn(conversation, orjson.loads(await body(receive)), send)
        elif scope["path"] == "/readyz":
            await answer(send, 200, {})
        else:
            await self._page(parse_qs(scope["query_string"].decode()), send)

    async def _live(self, receive, send) -> None:
        await receive()
        await self._database.open()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._http:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await self._database.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _page(self, query: dict[str, list[str]], send) -> None:
        before = int(query.get("cursor", [END_OF_IDS])[0])
        rows = await self._database.read(PAGE, query["user_id"][0], before, int(query["limit"][0]))
        await answer(send, 200, [{"conversation_id": i, "title": title, "created_at": at} for i, title, at in rows])

    async def _turn(self, conversation: int, turn: dict[str, Any], send) -> None:
        await self._database.write(ADD, conversation, "user", turn["message"])
        history = await self._database.read(HISTORY, conversation)
        messages = [{"role": role, "content": content} for role, content in history]
        stream = turn.get("stream", False)
        request = orjson.dumps({"model": self._model, "messages": messages, "stream": stream})
        headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
        async with self._http.post(self._provider, data=request, headers=headers) as response:
            response.raise_for_status()
            if stream:
                await self._stream(conversation, response, send)
            else:
                await self._reply(conversation, orjson.loads(await response.read()), send)

    async def _reply(self, conversation: int, completion: dict[str, Any], send) -> None:
        text = completion["choices"][0]["message"]["content"]
        await self._database.write(ADD, conversation, "assistant", text)
        await answer(send, 201, {"conversation_id": conversation, "assistant_reply": text})

    async def _stream(self, conversation: int, response: aiohttp.ClientResponse, send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        texts, rest = [], b""
        async for data in response.content.iter_any():
            *lines, rest = (rest + data).split(b"\n")
            text = "".join(map(content_of, lines))
            if text:
                texts.append(text)
                event = b"event: message.delta\ndata: %b\n\n" % orjson.dumps({"delta": text})
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await self._database.write(ADD, conversation, "assistant", "".join(texts))
        await send({"type": "http.response.body", "body": b"event: message.completed\ndata: {}\n\n"})


def content_of(line: bytes) -> str:
    """Return the text in a line of the provider's stream; empty lines and the last one have none."""
    if not line.startswith(b"data: {"):
        return ""
    choices = orjson.loads(line[6:])["choices"]
    return choices[0]["delta"].get("content", "") if choices else ""


async def body(receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def answer(send, status: int, document: Any) -> None:
    data = orjson.dumps(document)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def from_environment() -> Floor:
    url = os.environ["FLOOR_DATABASE"]
    if url.startswith("sqlite:///"):
        database = Sqlite(url.removeprefix("sqlite:///"), os.environ["FLOOR_SYNCHRONOUS"])
    else:
        database = Postgres(url)
    return Floor(database, os.environ["FLOOR_PROVIDER"], os.environ["FLOOR_MODEL"])


def __getattr__(name: str) -> Floor:
    # Only the server reads `app`; other importers of this module have not set the environment.
    if name != "app":
        raise AttributeError(name)
    return from_environment()
