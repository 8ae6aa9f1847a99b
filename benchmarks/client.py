"""A lean HTTP/1.1 client on a bare protocol, which keeps answers as they arrive.

The load shares the machine with the measured server, and thousands of streams run in one process: the client of the
tests costs more CPU per request than the server, and would be measured in its place. It is used where nothing is
measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httptools
import orjson

HOST = "127.0.0.1"
TIMEOUT_SECONDS = 30.0


@dataclass(slots=True)
class Answer:
    """An answer and the times of its arrival."""

    status: int = 0
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    """The pieces of the body, each with the time of its arrival."""

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


class Connection(asyncio.Protocol):
    """A persistent connection that carries one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: Any = None

    async def send(self, request: bytes, seconds: float = TIMEOUT_SECONDS) -> Answer:
        """Send a request and return the whole answer.

        Raises:
            OSError: the connection failed or timed out (TimeoutError).
        """
        loop = asyncio.get_running_loop()
        if self._transport is None:
            await loop.create_connection(lambda: self, HOST, self._port)
        self._answer, self._done = Answer(), loop.create_future()
        self._transport.write(request)
        timer = loop.call_later(seconds, self._fail, TimeoutError("no answer in time"))
        try:
            await self._done
        finally:
            timer.cancel()
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, exc) -> None:
        self._transport = None
        self._fail(exc or ConnectionResetError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"not HTTP: {error}"))

    def on_headers_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._answer.pieces.append((self._now, data))

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)
        self.close()


def request(method: str, path: str, document: Any = None, **headers: str) -> bytes:
    """Return the bytes of a request."""
    body = b"" if document is None else orjson.dumps(document)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Delta(NamedTuple):
    """A piece of text in an event stream, and the offset in the body at which its event ends."""

    text: str
    end: int


def deltas(body: bytes) -> Iterator[Delta]:
    """Yield the text of a streamed reply, in Parley's format or a provider's."""
    end = 0
    for block in body.split(b"\n\n"):
        end += len(block) + 2
        text = text_of(block)
        if text:
            yield Delta(text, end)


def text_of(block: bytes) -> str:
    at = block.find(b'data: {"delta"')
    if at >= 0:
        return orjson.loads(block[at + 6 :])["delta"]
    if not block.startswith(b"data: {"):
        return ""
    choices = orjson.loads(block[6:]).get("choices")
    return choices[0]["delta"].get("content", "") if choices else ""


def completed(body: bytes) -> bool:
    """Return whether a stream has its proper end."""
    last = body.rstrip().rpartition(b"\n\n")[2]
    return b"event: message.completed" in last or last == b"data: [DONE]"
