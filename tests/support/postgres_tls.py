"""TLS in front of a real PostgreSQL without TLS: the answer to SSLRequest, then a real handshake.

It speaks to its clients as a server with `ssl = on` does (PostgreSQL documentation, section 54.2.10), and to the server
behind it in plain text.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from typing import Self

from tests.support.postgres_wire import SSL_REQUEST, error_response
from tests.support.proxy import CHUNK, abort


class PostgresTls:
    """Listens on a free port of 127.0.0.1 while it is entered."""

    def __init__(self, port: int, context: ssl.SSLContext | None, *, plain: bool = True, direct: bool = False) -> None:
        self.port = 0
        self.encrypted: list[bool] = []
        """Whether each connection to the server was encrypted, in order."""
        self._target = port
        self._context = context
        self._plain = plain
        self._direct = direct
        self._links: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        context = self._context if self._direct else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            abort(writer)
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                startup = await self._startup(reader, writer)
                if startup is not None:
                    await self._forward(startup, reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """Read the startup message, after a handshake if there is one; None if the client was refused."""
        encrypted = self._direct
        startup = await read_startup(reader)
        if not encrypted and struct.unpack("!I", startup[4:8]) == (SSL_REQUEST,):
            writer.write(b"S" if self._context else b"N")
            if self._context:
                await handshake(writer, self._context)
                encrypted = True
            startup = await read_startup(reader)
        if not encrypted and not self._plain:
            text = "no pg_hba.conf entry for host, no encryption"
            writer.write(error_response("28000", text=text))
            await writer.drain()
            return None
        self.encrypted.append(encrypted)
        return startup

    async def _forward(self, startup: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        forth.write(startup)
        ways = [asyncio.create_task(passed_on(*way)) for way in ((reader, forth), (back, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.close()


async def handshake(writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
    """Start TLS on a connection; raise ConnectionError if the client disconnects."""
    plain = writer.transport
    try:
        await writer.start_tls(context)
    except AttributeError:  # of asyncio, which forgets the transport where the client has left already
        writer._transport = plain  # type: ignore[attr-defined]  # see above
        raise ConnectionAbortedError from None


async def read_startup(reader: asyncio.StreamReader) -> bytes:
    """Read a message without a kind: its length and its payload."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(struct.unpack("!I", length)[0] - 4)


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes until the end."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
