"""A bad network between the service and its provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.support.clock import within
from tests.support.databases import SqliteTemplate
from tests.support.parley_client import ParleyClient
from tests.support.problems import expect_problem
from tests.support.process import parley_process
from tests.support.provider import FakeProvider
from tests.support.proxy import TcpProxy
from tests.support.sse import wait_for_event

TEXT = "Ωμέγα 😀 漢字 é " * 20
IDLE_SECONDS = 1
CLOSED_SECONDS = 10
"""Far more than the end of a connection takes to arrive."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Far(NamedTuple):
    """A client of a process whose provider is behind a proxy."""

    client: ParleyClient
    proxy: TcpProxy
    provider: FakeProvider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Far]:
    """Serve with one process for the module."""
    with sqlite_template.copy() as url:
        async with FakeProvider() as provider, TcpProxy(provider.port) as proxy:
            base_url = provider.openai_base_url.replace(str(provider.port), str(proxy.port))
            configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": base_url}
            directory = tmp_path_factory.mktemp("far")
            async with parley_process(directory, database_url=url, idle_seconds=IDLE_SECONDS, **configured) as parley:
                yield Far(parley.client, proxy, provider)


@pytest_asyncio.fixture(loop_scope="module")
async def far(shared: Far) -> AsyncIterator[Far]:
    """Repair the network after each test."""
    yield shared
    shared.proxy.resume()
    shared.proxy.accepting = True
    shared.proxy.to_client.slice_bytes, shared.proxy.to_client.bytes_per_second = 65_536, None


@pytest.mark.parametrize(("size", "speed"), [(1, None), (7, 50_000)])
async def test_slow_network_keeps_the_reply_intact(far: Far, size: int, speed: float | None) -> None:
    """A reply of multibyte characters that arrives byte by byte or throttled is exactly what was sent."""
    far.proxy.to_client.slice_bytes, far.proxy.to_client.bytes_per_second = size, speed
    far.provider.reply(*(TEXT[place : place + 9] for place in range(0, len(TEXT), 9)))
    answer = await far.client.create_conversation(message="Hello")
    assert answer["assistant_reply"] == TEXT


@pytest.mark.parametrize("end", [TcpProxy.cut, TcpProxy.reset])
async def test_lost_connection_fails_the_turn(far: Far, end: Callable[[TcpProxy], None]) -> None:
    """A turn whose connection is cut or reset fails with a code, keeps its text, and the next turn runs."""
    far.provider.reply("Half ", asyncio.Event())
    conversation = await far.client.create_conversation()
    async with far.client.stream(conversation, "Hello") as events:
        await wait_for_event(events, "message.delta")
        end(far.proxy)
        failed = await wait_for_event(events, "message.failed")
    assert failed.data["error"]["code"] == "provider-truncated"
    stored = (await far.client.get_messages(conversation))[1]
    assert (stored["status"], stored["content"]) == ("failed", "Half ")
    assert (await far.client.send(conversation, "Again"))["assistant_reply"] == "Echo: Again"


async def test_stalled_reply_times_out(far: Far) -> None:
    """After IDLE_SECONDS without a byte the turn fails as `provider-timeout-idle`; later bytes are not stored."""
    gate = asyncio.Event()
    far.provider.reply("Half ", gate, "whole", asyncio.Event())
    conversation = await far.client.create_conversation()
    arrived = len(far.provider.calls) + 1
    async with far.client.stream(conversation, "Hello") as events:
        await wait_for_event(events, "message.delta")
        far.proxy.stall()
        gate.set()
        failed = await wait_for_event(events, "message.failed")
    assert failed.data["error"]["code"] == "provider-timeout-idle"
    far.proxy.resume()
    call = await far.provider.wait_calls(arrived)
    async with within(CLOSED_SECONDS):
        await call.closed.wait()
    stored = (await far.client.get_messages(conversation))[1]
    assert (stored["status"], stored["content"]) == ("failed", "Half ")


async def test_stalled_reply_is_504(far: Far) -> None:
    """A client that waits for the whole reply gets 504 with the turn's code, and the next turn runs."""
    far.provider.reply("Half ", asyncio.Event())
    conversation = await far.client.create_conversation()
    answer = await far.client.post_message(conversation, "Hello")
    expect_problem(answer, 504, "provider-timeout-idle")
    assert (await far.client.send(conversation, "Again"))["assistant_reply"] == "Echo: Again"


async def test_cut_idle_connection_is_not_used(far: Far) -> None:
    """A turn after its kept-alive connection was cut is answered by a single call."""
    conversation = await far.client.create_conversation()
    await far.client.send(conversation, "First")
    before = len(far.provider.calls)
    far.proxy.cut()
    assert (await far.client.send(conversation, "Second"))["assistant_reply"] == "Echo: Second"
    assert len(far.provider.calls) == before + 1


async def test_unreachable_provider_is_503(far: Far) -> None:
    """If no connection can be made the turn fails as `provider-unavailable` with Retry-After."""
    far.proxy.accepting = False
    far.proxy.reset()
    answer = await far.client.post_message(await far.client.create_conversation(), "Hello")
    assert expect_problem(answer, 503, "provider-unavailable")["message_id"]
