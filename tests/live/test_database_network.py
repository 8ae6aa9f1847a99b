"""A bad network between the service and PostgreSQL, and processes that stand still."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.db.process_leases import LEASE_MS
from app.domain.ids import now_ms
from app.services.runtime.timings import Timings
from tests.api.talk import Event, live_events
from tests.live.talk import (
    make,
    messages,
    messages_of,
    rows,
    say,
    stream,
    told,
    unavailable,
    until,
    until_messages,
    until_ready,
)
from tests.support.clock import within
from tests.support.databases import PostgresTemplate
from tests.support.postgres import PostgresCluster
from tests.support.process import POLL_SECONDS, Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.proxy import TcpProxy
from tests.support.replies import Reply

GIVEN_UP_SECONDS = 10
"""A statement, the wait for a connection, and some patience of the test's own."""
RECOVERY_SECONDS = 20
POOL_SIZE = 10
LASTS_MS = LEASE_MS - 1_000
LEASE = """
SELECT p.expires_at FROM processes p JOIN messages m ON m.process_id = p.process_id WHERE m.status = 'in_progress'"""


class Far(NamedTuple):
    """Two processes with the database behind a proxy, `narrow` with one connection, and one that has it near."""

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


async def until_renewed(database_url: str) -> None:
    """Waits until the process with the running turn has just renewed its lease, which then lasts through a stall."""
    async with within(2 * Timings().heartbeat):
        while (await rows(database_url, LEASE))[0][0] < now_ms() + LASTS_MS:  # noqa: ASYNC110  nothing tells but asking
            await asyncio.sleep(POLL_SECONDS)


@pytest.mark.parametrize("end", [TcpProxy.cut, TcpProxy.reset])
async def test_a_database_that_is_gone_comes_back(far: Far, end: Callable[[TcpProxy], None]) -> None:
    """Without connections all is 503 but /livez; with them it serves again, and the running turn has survived."""
    gate = asyncio.Event()
    far.provider.reply("Half ", gate, "whole")
    conversation = await make(far.parley)
    async with stream(far.parley, conversation, "Hello") as events:
        await until(events, "message.delta")
        far.proxy.accepting = False
        end(far.proxy)
        assert await far.parley.answers("/livez")
        unavailable(await far.parley.client.get("/readyz"))
        unavailable(await far.parley.client.get(messages_of(conversation)))
        unavailable(await say(far.parley, conversation, "Second"))
        far.proxy.accepting = True
        await until_ready(far.parley)
        gate.set()
        ended = await until(events, "message.completed")
    assert ended.data["message"]["content"] == "Half whole"
    assert len(await messages(far.parley, conversation)) == 2
    assert await told(far.parley, conversation, "Third") == "Echo: Third"


async def test_a_network_that_stands_still_is_given_up_in_time(far: Far) -> None:
    """In a stall shorter than a lease requests are 503 in seconds, by a pool of one too; the running turn completes."""
    gate = asyncio.Event()
    far.provider.reply("Half ", gate, "whole")
    conversation = await make(far.parley)
    post = asyncio.create_task(say(far.parley, conversation, "Hello"))
    await far.provider.wait_calls(1)
    await until_renewed(far.database_url)
    far.proxy.stall()
    asked = ["/readyz", messages_of(conversation), f"/conversations/{conversation['conversation_id']}"] * 5
    async with within(GIVEN_UP_SECONDS):
        answers = await asyncio.gather(
            *(say(parley, conversation, "Second") for parley in (far.parley, far.narrow)),
            *(parley.client.get(path) for path in asked for parley in (far.parley, far.narrow)),
        )
    for answer in answers:
        unavailable(answer)
    assert await far.parley.answers("/livez")
    assert await far.narrow.answers("/livez")
    far.proxy.resume()
    gate.set()
    assert (await post).json()["assistant_reply"] == "Half whole"
    await asyncio.gather(until_ready(far.parley), until_ready(far.narrow))
    assert await told(far.narrow, conversation, "Third") == "Echo: Third"
    assert [each["sequence_number"] for each in await messages(far.near, conversation)] == [1, 2, 3, 4]
    made = [await make(far.parley, message=f"word{n}") for n in range(12)]  # with every connection of the pool
    assert [(await messages(far.near, each))[1]["content"] for each in made] == [f"Echo: word{n}" for n in range(12)]


async def test_a_commit_whose_acknowledgement_is_lost_is_one_turn(far: Far) -> None:
    """A turn that was stored while its acknowledgement was lost is found, run once, and not stored twice."""
    conversation = await make(far.parley)
    await told(far.parley, conversation, "First")
    stored = b""

    def stall_behind_commit(data: bytes) -> None:
        nonlocal stored
        stored += data
        if b"COMMIT" in stored.partition(b"Second")[2]:
            far.proxy.to_client.stall()

    far.proxy.to_server.listener = stall_behind_commit
    post = asyncio.create_task(say(far.parley, conversation, "Second"))
    await until_messages(far.near, conversation, lambda found: len(found) == 4)
    assert len(far.provider.calls) == 1
    far.proxy.to_server.listener = None
    far.proxy.reset()
    far.proxy.to_client.resume()
    answer = await post
    if answer.status_code != 201:  # the connection to look it up with was reset as well: the turn runs all the same
        unavailable(answer)
    found = await until_messages(far.near, conversation, lambda found: found[3]["completed_at"])
    assert [message["content"] for message in found] == ["First", "Echo: First", "Second", "Echo: Second"]
    assert len(far.provider.calls) == 2


async def test_connections_that_died_in_silence_cost_one_statement_s_time(far: Far) -> None:
    """Where old connections are dead and new ones are had, one request is refused at most, and the turn completes."""
    await asyncio.gather(*(make(far.parley, message=f"word{n}") for n in range(3 * POOL_SIZE)))
    gate = asyncio.Event()
    far.provider.reply("Half ", gate, "whole")
    conversation = await make(far.parley)
    post = asyncio.create_task(say(far.parley, conversation, "Hello"))
    await far.provider.wait_calls(len(far.provider.calls) + 1)
    far.proxy.strand()
    answers = [await far.parley.client.get(messages_of(conversation)) for _ in range(2 * POOL_SIZE)]
    gate.set()
    assert (await post).json().get("assistant_reply") == "Half whole"
    refused = [answer for answer in answers if answer.status_code != 200]
    for answer in refused:
        unavailable(answer)
    assert len(refused) <= 1


async def test_a_process_that_stood_still_finds_its_turns_ended(far: Far, tmp_path: Path) -> None:
    """Cut off or stopped for longer than a lease, while its models go on: its turns are ended by another, once."""
    configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": far.provider.openai_base_url}
    async with parley_process(tmp_path, database_url=far.database_url, **configured) as stopped:
        gates, readers = await at_work(far, (far.parley, stopped))
        await until_stored(far.database_url, ("in_progress", "Half "), len(readers))
        far.proxy.stall()
        stopped.process.send_signal(signal.SIGSTOP)
        for gate in gates[::2]:  # of each process the one model ends its reply, the other is silent
            gate.set()
        await until_stored(far.database_url, ("interrupted", "Half "), len(readers), RECOVERY_SECONDS)
        ended = await replies(far.database_url)
        far.proxy.resume()
        stopped.process.send_signal(signal.SIGCONT)
        for reader in readers:
            last = (await reader)[-1]
            assert (last.name, last.data["message"]["content"]) == ("message.interrupted", "Half ")
        async with within(GIVEN_UP_SECONDS):
            for call in far.provider.calls[1::2]:
                await call.closed.wait()
        for parley in (far.parley, stopped):
            await until_ready(parley)
            assert (await make(parley, message="Again"))["assistant_reply"] == "Echo: Again"
        after = await replies(far.database_url)
    assert [reply for reply in after if reply in ended] == ended
    assert len(after) == len(ended) + 2
    assert len(far.provider.calls) == len(readers) + 2


async def at_work(far: Far, parleys: tuple[Parley, ...]) -> tuple[list[asyncio.Event], list[asyncio.Task[list[Event]]]]:
    """Two half-told turns of each process, in the order of their calls: what the rest waits for, and readers."""
    gates, readers = [], []
    for parley in (parley for parley in parleys for _ in range(2)):
        gates.append(asyncio.Event())
        far.provider.answer(Reply(["Half ", gates[-1], "whole"]))
        readers.append(asyncio.create_task(read(parley, await make(parley))))
        await far.provider.wait_calls(len(gates))
    return gates, readers


async def read(parley: Parley, conversation: dict[str, Any]) -> list[Event]:
    """The events of a turn, to their end."""
    body = {"message": "Hello", "stream": True}
    async with parley.client.http.stream("POST", messages_of(conversation), json=body, timeout=60) as response:
        return [event async for event in live_events(response)]


async def until_stored(database_url: str, wanted: tuple[str, str], count: int, seconds: float = 10) -> None:
    """Waits until so many replies have a status and a text."""
    async with within(seconds):
        while [each[:2] for each in await replies(database_url)].count(wanted) < count:  # noqa: ASYNC110  see above
            await asyncio.sleep(POLL_SECONDS)


async def replies(database_url: str) -> list[tuple[Any, ...]]:
    """What is stored of all replies, oldest first: status, text, and all that an end sets."""
    sql = "SELECT status, content, completed_at, finish_reason, error_code FROM messages WHERE role = 'assistant'"
    return await rows(database_url, f"{sql} ORDER BY message_id")
