"""SIGTERM: streams are sent away, turns are finished or kept, and the process goes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.talk import live_events
from tests.live.talk import make, messages, messages_of, say, stored, stream, until, until_messages
from tests.support.clock import within
from tests.support.process import GONE, POLL_SECONDS, Parley, parley_process
from tests.support.provider import FakeProvider

SOON_SECONDS = 10
"""At once, on a machine that has other things to do as well; far less than the 25 seconds of a drain."""


@contextlib.asynccontextmanager
async def draining(directory: Path, provider: FakeProvider, url: str, seconds: float) -> AsyncIterator[Parley]:
    """A process that answers with the fake provider and drains for so long."""
    settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    async with parley_process(directory, database_url=url, drain_seconds=seconds, **settings) as parley:
        yield parley


async def until_refused(parley: Parley) -> None:
    """Waits until readiness says that the process is going, asked on a connection of its own each time."""
    while (response := await asked_anew(parley, "GET", "/readyz")).status_code == 200:
        pass
    assert (response.status_code, response.json()["code"]) == (503, "draining")


async def asked_anew(parley: Parley, method: str, path: str, **options: Any) -> httpx2.Response:
    """What is answered on a new connection."""
    async with httpx2.AsyncClient(base_url=parley.url) as client:
        return await client.request(method, path, **options)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_process_goes_at_once(tmp_path: Path, url: str, number: signal.Signals) -> None:
    """Without turns a signal ends the process, without a complaint in its log."""
    async with parley_process(tmp_path, database_url=url, llm_provider="scripted") as parley:
        parley.process.send_signal(number)
        assert await parley.wait(SOON_SECONDS) in {0, -number}
    assert {line["level"] for line in parley.log} == {"info"}


async def test_a_running_turn_is_finished(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """SIGTERM ends readiness and the open stream at once and new turns are refused; the turn goes on to its end."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "and half")
    async with draining(tmp_path, provider, url, 25) as parley:
        conversation = await make(parley)
        async with stream(parley, conversation, "Hello") as events:
            await until(events, "message.delta")
            parley.terminate()
            async with within(2):
                await until_refused(parley)
                closing = await until(events, "stream.closing")
                assert [event async for event in events] == []
        assert closing.id == len("Half ")
        refused = await asked_anew(parley, "POST", messages_of(conversation), json={"message": "Too late"})
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        gate.set()
        assert await parley.wait(SOON_SECONDS) in GONE
    assert (await stored(url))[1] == (2, "assistant", "completed", "Half and half")


async def test_a_waiting_client_gets_its_answer_before_the_process_goes(
    tmp_path: Path, url: str, provider: FakeProvider
) -> None:
    """A post that is not streamed is answered when its turn ends within the time to drain."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "and half")
    async with draining(tmp_path, provider, url, 25) as parley:
        conversation = await make(parley)
        post = asyncio.create_task(say(parley, conversation, "Hello"))
        await provider.wait_calls(1)
        parley.terminate()
        await until_refused(parley)
        gate.set()
        answer = await post
        assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Half and half")
        assert await parley.wait(SOON_SECONDS) in GONE


async def test_a_turn_that_does_not_end_is_kept_as_interrupted(
    tmp_path: Path, url: str, provider: FakeProvider
) -> None:
    """After DRAIN_SECONDS a stalled turn is kept as interrupted with its text, and its client is told."""
    provider.reply("Half ", asyncio.Event())
    async with draining(tmp_path, provider, url, 1) as parley:
        conversation = await make(parley)
        post = asyncio.create_task(say(parley, conversation, "Hello"))
        await until_messages(parley, conversation, lambda found: len(found) == 2 and found[1]["content"])
        parley.terminate()
        answer = await post
        assert (answer.status_code, answer.json()["code"]) == (502, "turn-interrupted")
        assert answer.json()["conversation_id"] == conversation["conversation_id"]
        assert await parley.wait(SOON_SECONDS) in GONE
    assert (await stored(url))[1] == (2, "assistant", "interrupted", "Half ")


async def logged(parley: Parley, beginning: str) -> str:
    """The first event that begins so, once it is read: a thread reads what the process logs."""
    while True:
        for line in parley.log:
            if line["event"].startswith(beginning):
                return str(line["event"])
        await asyncio.sleep(POLL_SECONDS)


async def test_a_second_signal_ends_it_at_once(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """Whoever will not wait for the drain sends SIGTERM again: what there is of the reply is kept."""
    provider.reply("Half ", asyncio.Event())
    async with draining(tmp_path, provider, url, 25) as parley:
        conversation = await make(parley)
        async with stream(parley, conversation, "Hello") as events:
            await until(events, "message.delta")
            parley.terminate()
            await until(events, "stream.closing")
        waits = await logged(parley, "waiting for unfinished work")
        assert "turns: 1" in waits and "a second Ctrl+C" in waits
        parley.terminate()
        assert await parley.wait(SOON_SECONDS) in GONE
    assert any(line["event"].startswith("ending now") for line in parley.log)
    assert (await stored(url))[1] == (2, "assistant", "interrupted", "Half ")


async def test_a_turn_that_waits_is_left_for_the_next_process(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """A queued turn is not begun while the process goes: its client is told, and the next process answers it."""
    gate = asyncio.Event()
    provider.reply("First reply", gate)
    async with draining(tmp_path, provider, url, 25) as parley:
        conversation = await make(parley)
        first = asyncio.create_task(say(parley, conversation, "First"))
        await provider.wait_calls(1)
        second = asyncio.create_task(say(parley, conversation, "Second"))
        await until_messages(parley, conversation, lambda found: len(found) == 4)
        parley.terminate()
        answer = await second
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
        assert answer.json()["message_id"] == (await messages(parley, conversation))[3]["message_id"]
        gate.set()
        assert (await first).status_code == 201
        assert await parley.wait(SOON_SECONDS) in GONE
    assert [each.status for each in await stored(url)] == ["completed", "completed", "completed", "queued"]
    async with draining(tmp_path, provider, url, 25) as parley:
        found = await until_messages(parley, conversation, lambda found: found[3]["completed_at"], 3)
        assert found[3]["content"] == "Echo: Second"


async def test_a_turn_that_waits_is_adopted_while_its_process_drains(
    tmp_path: Path, url: str, provider: FakeProvider
) -> None:
    """Another process takes a waiting turn over at once, and answers it before the draining one has ended."""
    gate = asyncio.Event()
    provider.reply("First reply", gate)
    async with draining(tmp_path, provider, url, 25) as leaving, draining(tmp_path, provider, url, 25) as staying:
        conversation = await make(leaving)
        running = asyncio.create_task(say(leaving, conversation, "First"))
        await provider.wait_calls(1)
        accepted = await say(leaving, conversation, "Second", background=True)
        leaving.terminate()
        where = f"{accepted.headers['location']}/events"
        async with staying.client.http.stream("GET", where) as response:
            events = live_events(response)
            await until(events, "turn.started")
            gate.set()
            ended = await until(events, "message.completed")
        assert ended.data["message"]["content"] == "Echo: Second"
        assert (await running).status_code == 201


@contextlib.contextmanager
def silent_client(parley: Parley, request: str) -> Iterator[None]:
    """A connection on which something was sent, and from which nothing is read."""
    host, port = parley.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request.encode())
        yield


async def test_a_client_that_stands_still_does_not_hold_the_process(
    tmp_path: Path, url: str, provider: FakeProvider
) -> None:
    """Neither half a request nor a stream that nobody reads keeps a process much longer than DRAIN_SECONDS."""
    provider.reply(*(["x" * 1_000_000] * 8))  # more than the system keeps for a reader
    async with draining(tmp_path, provider, url, 1) as parley:
        conversation = await make(parley)
        head = f"POST {messages_of(conversation)} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        body = '{"message": "Hello", "stream": true}'
        half, whole = f"{head}Content-Length: 100\r\n\r\n{{", f"{head}Content-Length: {len(body)}\r\n\r\n{body}"
        with silent_client(parley, half), silent_client(parley, whole):
            await until_messages(parley, conversation, lambda found: len(found) == 2 and found[1]["completed_at"])
            parley.terminate()
            assert await parley.wait(SOON_SECONDS) in GONE
    assert [each.status for each in await stored(url)] == ["completed", "completed"]


async def test_a_turn_that_is_accepted_amid_the_signal_is_left_too(
    tmp_path: Path, url: str, provider: FakeProvider
) -> None:
    """A turn whose commit comes just after SIGTERM, behind one that never ends, stays queued for the next process."""
    provider.reply("Half ", asyncio.Event())
    async with draining(tmp_path, provider, url, 1) as parley:
        conversation = await make(parley)
        first = asyncio.create_task(say(parley, conversation, "First"))
        await provider.wait_calls(1)
        with locked(url):
            second = asyncio.create_task(say(parley, conversation, "Second"))
            for _ in range(10):  # by then the post, sent before these, waits for the lock
                assert await parley.answers("/livez")
            parley.terminate()
            await until_refused(parley)
        assert {(await first).status_code, (await second).status_code} == {502, 503}
        assert await parley.wait(SOON_SECONDS) in GONE
    assert [each.status for each in await stored(url)] == ["completed", "interrupted", "completed", "queued"]


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """A SQLite database that nobody else can write to."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
