"""The proxy does to a connection what it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import TcpProxy


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """A proxy in front of a server that sends back what it is sent."""

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
    """What is sent comes back, in order, also byte by byte and at a pace."""
    reader, writer = await connected(proxy)
    proxy.to_server.slice_bytes, proxy.to_client.bytes_per_second = 1, 1_000_000
    sent = bytes(range(256)) * 4
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()


async def test_a_stall_holds_bytes_back_until_it_ends(proxy: TcpProxy) -> None:
    """Nothing comes through a stall, and nothing is lost in it."""
    reader, writer = await connected(proxy)
    proxy.stall()
    writer.write(b"hello")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(1)
    proxy.resume()
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_connections_are_cut_and_reset(proxy: TcpProxy) -> None:
    """After a cut there is an end, after a reset an error; new connections are let in again."""
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
    """Where none are accepted a client meets a reset."""
    proxy.accepting = False
    with pytest.raises(ConnectionError):
        reader, _ = await connected(proxy)
        await reader.read()
