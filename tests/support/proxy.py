"""A TCP proxy that simulates a bad network."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Self

CHUNK = 65_536
PIECES_PER_SECOND = 50
"""At least, of a throttled direction, so that bytes arrive evenly."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST instead of FIN."""


class Direction:
    """One direction: passing or stalled, the size of its pieces, its rate."""

    def __init__(self) -> None:
        self.slice_bytes = CHUNK
        """Number of bytes per write."""
        self.bytes_per_second: float | None = None
        self.listener: Callable[[bytes], None] | None = None
        """Called with bytes before they are passed on."""
        self._open = asyncio.Event()
        self._open.set()

    def stall(self) -> None:
        """Hold all bytes; connections stay open."""
        self._open.clear()

    def resume(self) -> None:
        """Pass on the held bytes and all that follow."""
        self._open.set()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on until the end."""
        while data := await reader.read(CHUNK):
            if self.listener is not None:
                self.listener(data)
            for piece in self._pieces(data):
                await self._open.wait()
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(len(piece) / self.bytes_per_second if self.bytes_per_second else 0)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        size = self.slice_bytes
        if self.bytes_per_second:
            size = max(1, min(size, int(self.bytes_per_second / PIECES_PER_SECOND)))
        return (data[start : start + size] for start in range(0, len(data), size))


class TcpProxy:
    """Listens on a free port of 127.0.0.1 while it is entered, and connects each client to one target."""

    def __init__(self, port: int) -> None:
        self.to_server = Direction()
        self.to_client = Direction()
        self.accepting = True
        """False to reset new connections at once."""
        self.port = 0
        self._target = port
        self._links: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.reset()
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def connections(self) -> int:
        """Number of connected clients."""
        return len(self._links)

    def stall(self) -> None:
        """Hold all bytes in both directions, as when packets are dropped."""
        self.to_server.stall()
        self.to_client.stall()

    def resume(self) -> None:
        """End a stall."""
        self.to_server.resume()
        self.to_client.resume()

    def strand(self) -> None:
        """Hold all bytes of existing connections for good, as a failover does; new ones work."""
        self.stall()
        self.to_server, self.to_client = Direction(), Direction()

    def cut(self) -> None:
        """Close all connections on both sides with FIN."""
        self._end(lambda writer: writer.close())

    def reset(self) -> None:
        """Close all connections on both sides with RST."""
        self._end(abort)

    def _end(self, end: Callable[[asyncio.StreamWriter], None]) -> None:
        for writer in tuple(self._writers):
            end(writer)
        for link in self._links:
            link.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.accepting:
            abort(writer)
            return
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = [writer]
        self._writers.add(writer)
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            pair.append(forth)
            self._writers.add(forth)
            ways = [self.to_server.forward(reader, forth), self.to_client.forward(back, writer)]
            tasks = [asyncio.create_task(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for each in pair:
                each.close()
                self._writers.discard(each)


def abort(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST, unless it is closed."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
