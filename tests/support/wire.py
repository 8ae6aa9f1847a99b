"""Raw bytes on a connection, for requests that no HTTP client would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.parley_client import messages_path

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWER_SECONDS = 30.0
"""Far more than any answer takes on an idle machine."""


@dataclass(frozen=True)
class RawAnswer:
    """A response with a body of known length; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as parsed JSON."""
        return json.loads(self.body)


@contextlib.asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield reader, writer
    finally:
        writer.transport.abort()


async def read_answer(reader: asyncio.StreamReader, *, body: bool = True) -> RawAnswer | None:
    """Read the next answer, without a body for HEAD; None if the server has closed the connection."""
    status_line = await reader.readline()
    if not status_line:
        return None
    headers = {}
    while (line := await reader.readline()) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        assert name.lower() not in headers, name
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", 0)) if body else 0
    return RawAnswer(int(status_line.split()[1]), headers, await reader.readexactly(length))


async def exchanged(url: str, sent: bytes, *, end: bool = False) -> list[RawAnswer]:
    """Send bytes and read all answers until the server closes the connection; `end` closes our side first."""
    async with connection(url) as (reader, writer):
        writer.write(sent)
        if end:
            writer.write_eof()
        answers = []
        while (answer := await read_answer(reader)) is not None:
            answers.append(answer)
        return answers


def turn_request(conversation: Mapping[str, Any], **body: Any) -> bytes:
    """Return the bytes of a request that sends a message."""
    content = json.dumps({"message": "Hello"} | body).encode()
    head = b"POST %b HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (messages_path(conversation).encode(), len(content)) + content
