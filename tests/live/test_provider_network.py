"""A bad network between the service and its provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.live.talk import make, messages, say, stream, told, until
from tests.support.clock import within
from tests.support.databases import SqliteTemplate
from tests.support.process import Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.proxy import TcpProxy

TEXT = "Ωμέγα 😀 漢字 é " * 20
IDLE_SECONDS = 1
CLOSED_SECONDS = 10
"""Far more than the end of a connection takes to get through."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Far(NamedTuple):
    """A process, and its provider behind a proxy."""

    parley: Parley
    proxy: TcpProxy
    provider: FakeProvider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Far]:
    """One process for the module."""
    with sqlite_template.copy() as url:
        async with FakeProvider() as provider, TcpProxy(provider.port) as proxy:
            base_url = provider.openai_base_url.replace(str(provider.port), str(proxy.port))
            configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": base_url}
            directory = tmp_path_factory.mktemp("far")
            async with parley_process(directory, database_url=url, idle_seconds=IDLE_SECONDS, **configured) as parley:
                yield Far(parley, proxy, provider)


@pytest_asyncio.fixture(loop_scope="module")
async def far(shared: Far) -> AsyncIterator[Far]:
    """The process, with a network that is well again afterwards."""
    yield shared
    shared.proxy.resume()
    shared.proxy.accepting = True
    shared.proxy.to_client.slice_bytes, shared.proxy.to_client.bytes_per_second = 65_536, None


@pytest.mark.parametrize(("size", "speed"), [(1, None), (7, 50_000)])
async def test_a_slow_network_in_small_pieces_changes_nothing(far: Far, size: int, speed: float | None) -> None:
    """A reply of many-byte characters that comes byte by byte, or throttled in sevens, is what was sent."""
    far.proxy.to_client.slice_bytes, far.proxy.to_client.bytes_per_second = size, speed
    far.provider.reply(*(TEXT[place : place + 9] for place in range(0, len(TEXT), 9)))
    assert await told(far.parley, await make(far.parley), "Hello") == TEXT


@pytest.mark.parametrize("end", [TcpProxy.cut, TcpProxy.reset])
async def test_a_connection_that_is_lost_amid_a_reply_fails_the_turn(far: Far, end: Callable[[TcpProxy], None]) -> None:
    """Cut or reset, the turn fails with a code, its text is kept and streamed, and the next turn runs."""
    far.provider.reply("Half ", asyncio.Event())
    conversation = await make(far.parley)
    async with stream(far.parley, conversation, "Hello") as events:
        await until(events, "message.delta")
        end(far.proxy)
        failed = await until(events, "message.failed")
    assert failed.data["error"]["code"] == "provider-truncated"
    stored = (await messages(far.parley, conversation))[1]
    assert (stored["status"], stored["content"]) == ("failed", "Half ")
    assert await told(far.parley, conversation, "Again") == "Echo: Again"


async def test_a_network_that_stalls_amid_a_reply_is_given_up(far: Far) -> None:
    """After IDLE_SECONDS without a byte it is `provider-timeout-idle`; what comes out of the stall is not stored."""
    gate = asyncio.Event()
    far.provider.reply("Half ", gate, "whole", asyncio.Event())
    conversation = await make(far.parley)
    arrived = len(far.provider.calls) + 1
    async with stream(far.parley, conversation, "Hello") as events:
        await until(events, "message.delta")
        far.proxy.stall()
        gate.set()
        failed = await until(events, "message.failed")
    assert failed.data["error"]["code"] == "provider-timeout-idle"
    far.proxy.resume()
    call = await far.provider.wait_calls(arrived)
    async with within(CLOSED_SECONDS):
        await call.closed.wait()
    stored = (await messages(far.parley, conversation))[1]
    assert (stored["status"], stored["content"]) == ("failed", "Half ")


async def test_a_stalled_turn_that_is_waited_for_is_a_gateway_timeout(far: Far) -> None:
    """Who waits for the whole reply gets 504 with the turn's code, and the next turn runs."""
    far.provider.reply("Half ", asyncio.Event())
    conversation = await make(far.parley)
    answer = await say(far.parley, conversation, "Hello")
    assert (answer.status_code, answer.json()["code"]) == (504, "provider-timeout-idle")
    assert await told(far.parley, conversation, "Again") == "Echo: Again"


async def test_connections_that_were_cut_while_idle_are_not_used(far: Far) -> None:
    """A turn after its kept-alive connection was cut is answered, by a single call."""
    conversation = await make(far.parley)
    await told(far.parley, conversation, "First")
    before = len(far.provider.calls)
    far.proxy.cut()
    assert await told(far.parley, conversation, "Second") == "Echo: Second"
    assert len(far.provider.calls) == before + 1


async def test_a_provider_out_of_reach_is_said_to_be_so(far: Far) -> None:
    """Where no connection can be had the turn fails as `provider-unavailable`, with Retry-After."""
    far.proxy.accepting = False
    far.proxy.reset()
    answer = await say(far.parley, await make(far.parley), "Hello")
    assert (answer.status_code, answer.json()["code"]) == (503, "provider-unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["message_id"]
