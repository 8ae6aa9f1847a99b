"""PostgreSQL's wire protocol (its documentation, chapter 54) between a client and a real server, with refusals.

Connections are answered with an error, or with anything else, before the server hears of them; statements with an
error in the server's place. Everything else goes through.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Self

from tests.support.proxy import abort

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
HEADER = struct.Struct("!cI")
FATAL = "FATAL"
SYNC = b"S"
READY, PARAMETER = b"Z", b"S"
"""Kinds of the server's messages."""
STATEMENT = frozenset({b"P", b"B", b"D", b"E", b"H"})
"""Kinds of messages in a batch of the extended protocol, until Sync. Transactions are begun and
ended by simple queries, which go through."""


def message(kind: bytes, payload: bytes) -> bytes:
    """Build a message of the protocol from its kind and payload."""
    return HEADER.pack(kind, len(payload) + 4) + payload


def error_response(code: str, severity: str = FATAL, text: str = "not now") -> bytes:
    """Build an ErrorResponse with a SQLSTATE."""
    fields = {"S": severity, "V": severity, "C": code, "M": text}
    return message(b"E", b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items()) + b"\0")


class PostgresWire:
    """Listens on a free port of 127.0.0.1 while it is entered."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.refused = 0
        """Number of refused connections and statements."""
        self.standby = False
        """True to report the server as a standby to new connections."""
        self._target = port
        self._at_connect: bytes | None = None
        self._at_statement: tuple[bytes, bool] | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._refusal = asyncio.Condition()
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        for link in tuple(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    async def refusals(self, count: int, seconds: float = 60) -> None:
        """Wait until so many more connections and statements have been refused."""
        wanted = self.refused + count
        async with asyncio.timeout(seconds), self._refusal:
            await self._refusal.wait_for(lambda: self.refused >= wanted)

    def refuse_connections(self, answer: bytes) -> None:
        """Answer each new connection with these bytes and close it; existing ones go on."""
        self._at_connect = answer

    def refuse_statements(self, code: str, severity: str = "ERROR") -> None:
        """Answer each statement with an error; a fatal one ends the connection."""
        self._at_statement = error_response(code, severity), severity == FATAL

    def release(self) -> None:
        """Pass everything on again."""
        self._at_connect = self._at_statement = None

    def drop(self) -> None:
        """Close all connections."""
        for writer in tuple(self._writers):
            abort(writer)

    async def count(self) -> None:
        """Count a refusal."""
        self.refused += 1
        async with self._refusal:
            self._refusal.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._link(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await self._startup(reader, writer)
        if startup is None:
            return
        if self._at_connect is not None:
            await self.count()
            writer.write(self._at_connect)
            await writer.drain()
            return
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(forth)
        link = Link(self, forth, writer)
        forth.write(startup)
        ways = [asyncio.create_task(link.to_server(reader)), asyncio.create_task(link.to_client(back))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(forth)
            forth.close()

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """Read the startup message, after any request for encryption; None for a request to cancel."""
        while True:
            length, code = struct.unpack("!II", head := await reader.readexactly(8))
            rest = await reader.readexactly(length - 8)
            if code == CANCEL_REQUEST:
                return None
            if code not in {SSL_REQUEST, GSS_REQUEST}:
                return head + rest
            writer.write(b"N")

    def statement_refusal(self) -> tuple[bytes, bool] | None:
        """Return the answer to a statement, and whether it ends the connection; None to pass the statement on."""
        return self._at_statement


class Link:
    """A client's connection and the server's connection behind it."""

    def __init__(self, wire: PostgresWire, server: asyncio.StreamWriter, client: asyncio.StreamWriter) -> None:
        self._wire = wire
        self._server = server
        self._client = client
        self._status = b"I"

    async def to_client(self, reader: asyncio.StreamReader) -> None:
        """Pass the server's messages on."""
        while True:
            kind, payload = await read_message(reader)
            if kind == READY:
                self._status = payload
            elif kind == PARAMETER and self._wire.standby:
                payload = payload.replace(b"in_hot_standby\0off", b"in_hot_standby\0on")
            self._client.write(message(kind, payload))
            await self._client.drain()

    async def to_server(self, reader: asyncio.StreamReader) -> None:
        """Pass the client's messages on, except refused statements; end with a fatal refusal."""
        while True:
            kind, payload = await read_message(reader)
            refusal = self._wire.statement_refusal() if kind in STATEMENT else None
            if refusal is None:
                self._server.write(message(kind, payload))
                await self._server.drain()
                continue
            answer, fatal = refusal
            await self._wire.count()
            self._client.write(answer)
            await self._client.drain()
            if fatal:
                return
            while kind != SYNC:
                kind, _ = await read_message(reader)
            self._client.write(message(READY, b"I" if self._status == b"I" else b"E"))


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read the kind and payload of the next message after the startup."""
    kind, length = HEADER.unpack(await reader.readexactly(5))
    return kind, await reader.readexactly(length - 4)
