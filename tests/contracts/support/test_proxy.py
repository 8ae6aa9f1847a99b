"""The tests' TCP proxy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import TcpProxy


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """A proxy before a server that echoes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, TcpProxy(server.sockets[0].getsockname()[1]) as started:
        yield started


async def connected(proxy: TcpProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_bytes_pass_both_ways(proxy: TcpProxy) -> None:
    """Bytes arrive in order, also one by one and throttled."""
    reader, writer = await connected(proxy)
    proxy.to_server.slice_bytes, proxy.to_client.bytes_per_second = 1, 1_000_000
    sent = bytes(range(256)) * 4
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()


async def test_stall_holds_bytes(proxy: TcpProxy) -> None:
    """Nothing passes during a stall, and nothing is lost."""
    reader, writer = await connected(proxy)
    proxy.stall()
    writer.write(b"hello")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(1)
    proxy.resume()
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_stall_of_one_direction(proxy: TcpProxy) -> None:
    """Bytes arrive while the answer is held back."""
    reader, writer = await connected(proxy)
    arrived = asyncio.Event()
    proxy.to_client.listener = lambda _: arrived.set()
    proxy.to_client.stall()
    writer.write(b"hello")
    await arrived.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(1)
    proxy.to_client.resume()
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_throttled_direction(proxy: TcpProxy) -> None:
    """At 10,000 bytes a second the last of 2,000 arrives long after the first."""
    reader, writer = await connected(proxy)
    proxy.to_client.bytes_per_second = 10_000
    started_at = time.monotonic()
    writer.write(bytes(2_000))
    first = await reader.read(2_000)
    await reader.readexactly(2_000 - len(first))
    assert len(first) < 2_000
    assert time.monotonic() - started_at > 0.15
    writer.close()


async def test_stranded_connections_stay_stranded(proxy: TcpProxy) -> None:
    """Nothing passes through a stranded connection, while a new one works."""
    old, old_writer = await connected(proxy)
    old_writer.write(b"x")
    assert await old.readexactly(1) == b"x"
    proxy.strand()
    new, new_writer = await connected(proxy)
    for writer in (old_writer, new_writer):
        writer.write(b"hello")
    assert await new.readexactly(5) == b"hello"
    proxy.resume()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await old.read(1)
    for writer in (old_writer, new_writer):
        writer.close()


async def test_connections_are_cut_and_reset(proxy: TcpProxy) -> None:
    """After a cut there is an end, after a reset an error; new connections are accepted again."""
    for end, reset in ((proxy.cut, False), (proxy.reset, True)):
        reader, writer = await connected(proxy)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        end()
        if reset:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            assert await reader.read() == b""
        writer.close()


async def test_connections_are_refused(proxy: TcpProxy) -> None:
    """If none are accepted a client is reset."""
    proxy.accepting = False
    with pytest.raises(ConnectionError):
        reader, _ = await connected(proxy)
        await reader.read()
