"""Readers that do not read: they neither slow the model nor grow the process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.api.talk import events_of
from tests.live.talk import make, rows, say
from tests.support.process import POLL_SECONDS, Parley, parley_process
from tests.support.provider import FakeProvider

PIECE = "Ω" * 10_000
PIECES = 200
READERS = 40
BYTES_PER_READER = len(PIECE.encode()) * PIECES // 2
"""Far more than a connection's buffers, and half of what a copy of the reply for each reader would take."""


@contextlib.asynccontextmanager
async def answering(directory: Path, url: str, provider: FakeProvider) -> AsyncIterator[Parley]:
    """A process that answers with the fake provider."""
    settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    settings["max_output_characters"] = 2 * PIECES * len(PIECE)
    async with parley_process(directory, database_url=url, **settings) as parley:
        yield parley


@contextlib.contextmanager
def standing(parley: Parley, path: str) -> Iterator[socket.socket]:
    """A reader that has asked for a reply's events, with room for four kilobytes, and reads nothing."""
    host, port = parley.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        yield connection


def rest(connection: socket.socket) -> str:
    """The events that a reader has not read, chunk by chunk of HTTP."""
    with connection.makefile("rb") as stream:
        while stream.readline() != b"\r\n":
            pass
        text = b""
        while size := int(stream.readline(), 16):
            text += stream.read(size)
            stream.readline()
    return text.decode()


async def until_completed(url: str) -> None:
    """Waits for the end of the reply; asked of the database, since the process would make copies to tell."""
    async with asyncio.timeout(30):
        while await rows(url, "SELECT status FROM messages WHERE role = 'assistant'") != [("completed",)]:  # noqa: ASYNC110  see above
            await asyncio.sleep(POLL_SECONDS)


async def test_readers_that_stand_still_cost_nothing(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """Forty readers with 4 KB of room do not hold up the model, cost buffers alone, and can read it all afterwards."""
    begin = asyncio.Event()
    provider.reply("Ω", begin, *[PIECE] * PIECES)
    async with answering(tmp_path, url, provider) as parley:
        conversation = await make(parley)
        accepted = await say(parley, conversation, "Hello", background=True)
        path = f"{accepted.headers['location']}/events"
        await provider.wait_calls(1)
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(standing(parley, path)) for _ in range(READERS)]
            process = psutil.Process(parley.process.pid)
            assert await parley.answers("/livez")
            before = process.memory_info().rss
            begin.set()
            await until_completed(url)
            grown = process.memory_info().rss - before
            assert grown / READERS < BYTES_PER_READER
            events = events_of(await asyncio.to_thread(rest, readers[0]))
        deltas = [event.data["delta"] for event in events if event.name == "message.delta"]
        assert "".join(deltas) == "Ω" + PIECE * PIECES
        assert events[-1].name == "message.completed"
