"""A bad network between the service and PostgreSQL, and suspended processes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from app.db.models import MessageRow, ProcessRow
from app.db.process_leases import LEASE_MS
from app.domain.ids import now_ms
from app.services.runtime.timings import Timings
from tests.support.clock import within
from tests.support.databases import PostgresTemplate
from tests.support.parley_client import conversation_path, messages_path
from tests.support.postgres import PostgresCluster
from tests.support.problems import expect_problem
from tests.support.process import POLL_SECONDS, Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.proxy import TcpProxy
from tests.support.replies import Reply
from tests.support.sse import Event, live_events, wait_for_event
from tests.support.stored import execute

GIVEN_UP_SECONDS = 10
"""A statement, the wait for a connection, and time for the test's own client."""
RECOVERY_SECONDS = 20
POOL_SIZE = 10
LASTS_MS = LEASE_MS - 1_000
LEASE = (
    select(ProcessRow.expires_at)
    .join(MessageRow, MessageRow.process_id == ProcessRow.process_id)
    .where(MessageRow.status == "in_progress")
)
REPLIES = (
    select(
        MessageRow.status,
        MessageRow.content,
        MessageRow.completed_at,
        MessageRow.finish_reason,
        MessageRow.error_code,
    )
    .where(MessageRow.role == "assistant")
    .order_by(MessageRow.message_id)
)
"""Status, text and everything that the end of a turn sets, oldest first."""


class Far(NamedTuple):
    """Two processes with the database behind a proxy, of which `narrow` has one connection, and one without it."""

    parley: Parley
    near: Parley
    narrow: Parley
    proxy: TcpProxy
    provider: FakeProvider
    database_url: str


@pytest.fixture
async def far(
    tmp_path: Path, cluster: PostgresCluster, postgres_template: PostgresTemplate, provider: FakeProvider
) -> AsyncIterator[Far]:
    configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    async with contextlib.AsyncExitStack() as stack:
        url = stack.enter_context(postgres_template.copy())
        proxy = await stack.enter_async_context(TcpProxy(cluster.port))
        there = url.replace(str(cluster.port), str(proxy.port))
        starts = [
            stack.enter_async_context(
                parley_process(tmp_path, database_url=each, database_pool_size=size, **configured)
            )
            for each, size in ((there, POOL_SIZE), (url, POOL_SIZE), (there, 1))
        ]
        parley, near, narrow = await asyncio.gather(*starts)
        yield Far(parley, near, narrow, proxy, provider, url)
        proxy.resume()


async def wait_for_heartbeat(database_url: str) -> None:
    """Wait until the process with the running turn has just renewed its lease, which then lasts through a stall."""
    async with within(2 * Timings().heartbeat):
        while (await execute(database_url, LEASE))[0][0] < now_ms() + LASTS_MS:  # noqa: ASYNC110  only polling works
            await asyncio.sleep(POLL_SECONDS)


@pytest.mark.parametrize("end", [TcpProxy.cut, TcpProxy.reset])
async def test_lost_database_comes_back(far: Far, end: Callable[[TcpProxy], None]) -> None:
    """Without connections all but /livez is 503; afterwards it serves again and the running turn has survived."""
    gate = asyncio.Event()
    far.provider.reply("Half ", gate, "whole")
    conversation = await far.parley.client.create_conversation()
    async with far.parley.client.stream(conversation, "Hello") as events:
        await wait_for_event(events, "message.delta")
        far.proxy.accepting = False
        end(far.proxy)
        assert await far.parley.answers("/livez")
        expect_problem(await far.parley.client.get("/readyz"), 503, "database-unavailable")
        expect_problem(await far.parley.client.get(messages_path(conversation)), 503, "database-unavailable")
        expect_problem(await far.parley.client.post_message(conversation, "Second"), 503, "database-unavailable")
        far.proxy.accepting = True
        await far.parley.wait_until_ready()
        gate.set()
        ended = await wait_for_event(events, "message.completed")
    assert ended.data["message"]["content"] == "Half whole"
    assert len(await far.parley.client.get_messages(conversation)) == 2
    assert (await far.parley.client.send(conversation, "Third"))["assistant_reply"] == "Echo: Third"


async def test_stalled_network_times_out(far: Far) -> None:
    """In a stall shorter than a lease requests are 503 within seconds, and the running turn completes afterwards."""
    gate = asyncio.Event()
    far.provider.reply("Half ", gate, "whole")
    conversation = await far.parley.client.create_conversation()
    post = asyncio.create_task(far.parley.client.post_message(conversation, "Hello"))
    await far.provider.wait_calls(1)
    await wait_for_heartbeat(far.database_url)
    far.proxy.stall()
    paths = ["/readyz", messages_path(conversation), conversation_path(conversation)] * 5
    async with within(GIVEN_UP_SECONDS):
        answers = await asyncio.gather(
            *(parley.client.post_message(conversation, "Second") for parley in (far.parley, far.narrow)),
            *(parley.client.get(path) for path in paths for parley in (far.parley, far.narrow)),
        )
    for answer in answers:
        expect_problem(answer, 503, "database-unavailable")
    assert await far.parley.answers("/livez")
    assert await far.narrow.answers("/livez")
    far.proxy.resume()
    gate.set()
    assert (await post).json()["assistant_reply"] == "Half whole"
    await asyncio.gather(far.parley.wait_until_ready(), far.narrow.wait_until_ready())
    assert (await far.narrow.client.send(conversation, "Third"))["assistant_reply"] == "Echo: Third"
    assert [each["sequence_number"] for each in await far.near.client.get_messages(conversation)] == [1, 2, 3, 4]
    made = [
        await far.parley.client.create_conversation(message=f"word{n}") for n in range(12)
    ]  # with every connection of the pool
    assert [(await far.near.client.get_messages(each))[1]["content"] for each in made] == [
        f"Echo: word{n}" for n in range(12)
    ]


async def test_lost_commit_acknowledgement(far: Far) -> None:
    """A turn that was stored while its acknowledgement was lost runs once and is not stored again."""
    conversation = await far.parley.client.create_conversation()
    await far.parley.client.send(conversation, "First")
    stored = b""

    def stall_behind_commit(data: bytes) -> None:
        nonlocal stored
        stored += data
        if b"COMMIT" in stored.partition(b"Second")[2]:
            far.proxy.to_client.stall()

    far.proxy.to_server.listener = stall_behind_commit
    post = asyncio.create_task(far.parley.client.post_message(conversation, "Second"))
    await far.near.client.wait_for_messages(conversation, lambda found: len(found) == 4)
    assert len(far.provider.calls) == 1
    far.proxy.to_server.listener = None
    far.proxy.reset()
    far.proxy.to_client.resume()
    answer = await post
    if answer.status_code != 201:  # the connection to look it up with was reset as well: the turn runs all the same
        expect_problem(answer, 503, "database-unavailable")
    found = await far.near.client.wait_for_messages(conversation, lambda found: found[3]["completed_at"])
    assert [message["content"] for message in found] == ["First", "Echo: First", "Second", "Echo: Second"]
    assert len(far.provider.calls) == 2


async def test_dead_connections_are_replaced(far: Far) -> None:
    """If all pooled connections die silently, at most one request is refused, and the running turn completes."""
    await asyncio.gather(*(far.parley.client.create_conversation(message=f"word{n}") for n in range(3 * POOL_SIZE)))
    gate = asyncio.Event()
    far.provider.reply("Half ", gate, "whole")
    conversation = await far.parley.client.create_conversation()
    post = asyncio.create_task(far.parley.client.post_message(conversation, "Hello"))
    await far.provider.wait_calls(len(far.provider.calls) + 1)
    far.proxy.strand()
    answers = [await far.parley.client.get(messages_path(conversation)) for _ in range(2 * POOL_SIZE)]
    gate.set()
    assert (await post).json().get("assistant_reply") == "Half whole"
    refused = [answer for answer in answers if answer.status_code != 200]
    for answer in refused:
        expect_problem(answer, 503, "database-unavailable")
    assert len(refused) <= 1


async def test_suspended_process_loses_its_turns(far: Far, tmp_path: Path) -> None:
    """The turns of a process that is cut off or stopped for longer than a lease are ended by another, once."""
    configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": far.provider.openai_base_url}
    async with parley_process(tmp_path, database_url=far.database_url, **configured) as stopped:
        gates, readers = await start_turns(far, (far.parley, stopped))
        await wait_for_replies(far.database_url, ("in_progress", "Half "), len(readers))
        far.proxy.stall()
        stopped.process.send_signal(signal.SIGSTOP)
        for gate in gates[::2]:  # of each process the one model ends its reply, the other is silent
            gate.set()
        await wait_for_replies(far.database_url, ("interrupted", "Half "), len(readers), RECOVERY_SECONDS)
        ended = await execute(far.database_url, REPLIES)
        far.proxy.resume()
        stopped.process.send_signal(signal.SIGCONT)
        for reader in readers:
            last = (await reader)[-1]
            assert (last.name, last.data["message"]["content"]) == ("message.interrupted", "Half ")
        async with within(GIVEN_UP_SECONDS):
            for call in far.provider.calls[1::2]:
                await call.closed.wait()
        for parley in (far.parley, stopped):
            await parley.wait_until_ready()
            assert (await parley.client.create_conversation(message="Again"))["assistant_reply"] == "Echo: Again"
        after = await execute(far.database_url, REPLIES)
    assert [reply for reply in after if reply in ended] == ended
    assert len(after) == len(ended) + 2
    assert len(far.provider.calls) == len(readers) + 2


async def start_turns(
    far: Far, parleys: tuple[Parley, ...]
) -> tuple[list[asyncio.Event], list[asyncio.Task[list[Event]]]]:
    """Start two turns in each process; return, in the order of their calls, their gates and their readers."""
    gates, readers = [], []
    for parley in (parley for parley in parleys for _ in range(2)):
        gates.append(asyncio.Event())
        far.provider.answer(Reply(["Half ", gates[-1], "whole"]))
        readers.append(asyncio.create_task(read(parley, await parley.client.create_conversation())))
        await far.provider.wait_calls(len(gates))
    return gates, readers


async def read(parley: Parley, conversation: dict[str, Any]) -> list[Event]:
    """Return the events of a turn once it has ended."""
    body = {"message": "Hello", "stream": True}
    async with parley.client.http.stream("POST", messages_path(conversation), json=body, timeout=60) as response:
        return [event async for event in live_events(response)]


async def wait_for_replies(database_url: str, expected: tuple[str, str], count: int, seconds: float = 10) -> None:
    """Wait until this number of replies has a status and a text."""
    async with within(seconds):
        while True:
            replies = await execute(database_url, REPLIES)
            if [each[:2] for each in replies].count(expected) >= count:
                return
            await asyncio.sleep(POLL_SECONDS)
