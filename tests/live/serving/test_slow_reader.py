"""Readers that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

from app.db.models import MessageRow
from tests.support.process import POLL_SECONDS, Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.sse import parse_events
from tests.support.stored import execute

PIECE = "Ω" * 10_000
PIECES = 200
READERS = 40
BYTES_PER_READER = len(PIECE.encode()) * PIECES // 2
"""Far more than a connection's buffers, and half of the size of a copy of the reply for each reader."""


@contextlib.asynccontextmanager
async def serving(directory: Path, url: str, provider: FakeProvider) -> AsyncIterator[Parley]:
    """Serve with the fake provider and without a limit on the reply."""
    settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    settings["max_output_characters"] = 2 * PIECES * len(PIECE)
    async with parley_process(directory, database_url=url, **settings) as parley:
        yield parley


@contextlib.contextmanager
def stalled_reader(parley: Parley, path: str) -> Iterator[socket.socket]:
    """Open a stream with a receive buffer of four kilobytes, without reading from it."""
    host, port = parley.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        yield connection


def read_rest(connection: socket.socket) -> str:
    """Read the remaining events of a connection, chunk by chunk of HTTP."""
    with connection.makefile("rb") as stream:
        while stream.readline() != b"\r\n":
            pass
        text = b""
        while size := int(stream.readline(), 16):
            text += stream.read(size)
            stream.readline()
    return text.decode()


async def wait_until_completed(url: str) -> None:
    """Poll the database until all replies are completed; through the API the process would copy the reply each time."""
    status = select(MessageRow.status).where(MessageRow.role == "assistant")
    async with asyncio.timeout(30):
        while set(await execute(url, status)) != {("completed",)}:  # noqa: ASYNC110  only polling works
            await asyncio.sleep(POLL_SECONDS)


async def test_stalled_readers_cost_nothing(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """Forty readers that do not read neither slow the model nor cost memory, and can read everything afterwards."""
    begin = asyncio.Event()
    async with serving(tmp_path, url, provider) as parley:
        # The same reply without readers: what a turn takes by itself, the process has from here on.
        provider.reply(*[PIECE] * PIECES)
        conversation = await parley.client.create_conversation()
        await parley.client.post_message(conversation, "Hello", background=True)
        await wait_until_completed(url)
        provider.reply("Ω", begin, *[PIECE] * PIECES)
        accepted = await parley.client.post_message(conversation, "Hello", background=True)
        path = f"{accepted.headers['location']}/events"
        await provider.wait_calls(2)
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(stalled_reader(parley, path)) for _ in range(READERS)]
            process = psutil.Process(parley.process.pid)
            assert await parley.answers("/livez")
            before = process.memory_info().rss
            begin.set()
            await wait_until_completed(url)
            grown = process.memory_info().rss - before
            assert grown / READERS < BYTES_PER_READER
            events = parse_events(await asyncio.to_thread(read_rest, readers[0]))
        deltas = [event.data["delta"] for event in events if event.name == "message.delta"]
        assert "".join(deltas) == "Ω" + PIECE * PIECES
        assert events[-1].name == "message.completed"
