"""SIGTERM: streams close, turns finish or are kept, and the process ends."""

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

from tests.support.clock import within
from tests.support.parley_client import messages_path
from tests.support.problems import expect_problem
from tests.support.process import GONE, POLL_SECONDS, Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.sse import wait_for_event
from tests.support.stored import stored_messages

SOON_SECONDS = 10
"""At once on a machine that runs other things as well; far less than the 25 seconds of a drain."""


@contextlib.asynccontextmanager
async def draining(directory: Path, provider: FakeProvider, url: str, seconds: float) -> AsyncIterator[Parley]:
    """Start a process that uses the fake provider and drains for so many seconds."""
    settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    async with parley_process(directory, database_url=url, drain_seconds=seconds, **settings) as parley:
        yield parley


async def wait_until_draining(parley: Parley) -> None:
    """Poll readiness, on a new connection each time, until it reports the drain."""
    while (response := await request_on_new_connection(parley, "GET", "/readyz")).status_code == 200:
        pass
    expect_problem(response, 503, "draining")


async def request_on_new_connection(parley: Parley, method: str, path: str, **options: Any) -> httpx2.Response:
    """Send a request on a new connection."""
    async with httpx2.AsyncClient(base_url=parley.url) as client:
        return await client.request(method, path, **options)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_idle_process_ends_at_once(tmp_path: Path, url: str, number: signal.Signals) -> None:
    """Without turns a signal ends the process without a warning in its log."""
    async with parley_process(tmp_path, database_url=url, llm_provider="scripted") as parley:
        parley.process.send_signal(number)
        assert await parley.wait(SOON_SECONDS) in {0, -number}
    assert {line["level"] for line in parley.log} == {"info"}


async def test_running_turn_finishes(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """SIGTERM ends readiness and the stream at once and refuses new turns; the running turn finishes."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "and half")
    async with draining(tmp_path, provider, url, 25) as parley:
        conversation = await parley.client.create_conversation()
        async with parley.client.stream(conversation, "Hello") as events:
            await wait_for_event(events, "message.delta")
            parley.terminate()
            async with within(2):
                await wait_until_draining(parley)
                closing = await wait_for_event(events, "stream.closing")
                assert [event async for event in events] == []
        assert closing.id == len("Half ")
        path, body = messages_path(conversation), {"message": "Too late"}
        expect_problem(await request_on_new_connection(parley, "POST", path, json=body), 503, "draining")
        gate.set()
        assert await parley.wait(SOON_SECONDS) in GONE
    assert (await stored_messages(url))[1] == (2, "assistant", "completed", "Half and half")


async def test_waiting_client_gets_its_answer(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """A post that does not stream is answered if its turn ends within the time to drain."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "and half")
    async with draining(tmp_path, provider, url, 25) as parley:
        conversation = await parley.client.create_conversation()
        post = asyncio.create_task(parley.client.post_message(conversation, "Hello"))
        await provider.wait_calls(1)
        parley.terminate()
        await wait_until_draining(parley)
        gate.set()
        answer = await post
        assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Half and half")
        assert await parley.wait(SOON_SECONDS) in GONE


async def test_stalled_turn_is_interrupted(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """After DRAIN_SECONDS a stalled turn is stored as interrupted with its text, and its client gets a problem."""
    provider.reply("Half ", asyncio.Event())
    async with draining(tmp_path, provider, url, 1) as parley:
        conversation = await parley.client.create_conversation()
        post = asyncio.create_task(parley.client.post_message(conversation, "Hello"))
        await parley.client.wait_for_messages(conversation, lambda found: len(found) == 2 and found[1]["content"])
        parley.terminate()
        problem = expect_problem(await post, 502, "turn-interrupted")
        assert problem["conversation_id"] == conversation["conversation_id"]
        assert await parley.wait(SOON_SECONDS) in GONE
    assert (await stored_messages(url))[1] == (2, "assistant", "interrupted", "Half ")


async def wait_for_log(parley: Parley, beginning: str) -> str:
    """Return the first logged event with this beginning, once a thread has read it."""
    while True:
        for line in parley.log:
            if line["event"].startswith(beginning):
                return str(line["event"])
        await asyncio.sleep(POLL_SECONDS)


async def test_second_signal_ends_at_once(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """A second SIGTERM ends the drain at once; the text of the reply so far is kept."""
    provider.reply("Half ", asyncio.Event())
    async with draining(tmp_path, provider, url, 25) as parley:
        conversation = await parley.client.create_conversation()
        async with parley.client.stream(conversation, "Hello") as events:
            await wait_for_event(events, "message.delta")
            parley.terminate()
            await wait_for_event(events, "stream.closing")
        waits = await wait_for_log(parley, "waiting for unfinished work")
        assert "turns: 1" in waits and "a second Ctrl+C" in waits
        parley.terminate()
        assert await parley.wait(SOON_SECONDS) in GONE
    assert any(line["event"].startswith("ending now") for line in parley.log)
    assert (await stored_messages(url))[1] == (2, "assistant", "interrupted", "Half ")


async def test_queued_turn_is_left_for_the_next_process(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """A queued turn does not start during the drain: its client gets a problem, and the next process answers it."""
    gate = asyncio.Event()
    provider.reply("First reply", gate)
    async with draining(tmp_path, provider, url, 25) as parley:
        conversation = await parley.client.create_conversation()
        first = asyncio.create_task(parley.client.post_message(conversation, "First"))
        await provider.wait_calls(1)
        second = asyncio.create_task(parley.client.post_message(conversation, "Second"))
        await parley.client.wait_for_messages(conversation, lambda found: len(found) == 4)
        parley.terminate()
        problem = expect_problem(await second, 503, "draining")
        assert problem["message_id"] == (await parley.client.get_messages(conversation))[3]["message_id"]
        gate.set()
        assert (await first).status_code == 201
        assert await parley.wait(SOON_SECONDS) in GONE
    assert [each.status for each in await stored_messages(url)] == ["completed", "completed", "completed", "queued"]
    async with draining(tmp_path, provider, url, 25) as parley:
        async with within(3):
            found = await parley.client.wait_for_messages(conversation, lambda found: found[3]["completed_at"])
        assert found[3]["content"] == "Echo: Second"


async def test_queued_turn_is_adopted_during_the_drain(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """Another process adopts a queued turn at once and answers it before the draining process ends."""
    gate = asyncio.Event()
    provider.reply("First reply", gate)
    async with draining(tmp_path, provider, url, 25) as leaving, draining(tmp_path, provider, url, 25) as staying:
        conversation = await leaving.client.create_conversation()
        running = asyncio.create_task(leaving.client.post_message(conversation, "First"))
        await provider.wait_calls(1)
        accepted = await leaving.client.post_message(conversation, "Second", background=True)
        leaving.terminate()
        async with staying.client.stream_events(f"{accepted.headers['location']}/events") as events:
            await wait_for_event(events, "turn.started")
            gate.set()
            ended = await wait_for_event(events, "message.completed")
        assert ended.data["message"]["content"] == "Echo: Second"
        assert (await running).status_code == 201


@contextlib.contextmanager
def silent_client(parley: Parley, request: str) -> Iterator[None]:
    """Open a connection, send something and read nothing."""
    host, port = parley.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request.encode())
        yield


async def test_stalled_client_does_not_delay_the_end(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """Half a request and a stream without a reader keep a process hardly longer than DRAIN_SECONDS."""
    provider.reply(*(["x" * 1_000_000] * 8))  # more than the socket buffers hold
    async with draining(tmp_path, provider, url, 1) as parley:
        conversation = await parley.client.create_conversation()
        head = f"POST {messages_path(conversation)} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        body = '{"message": "Hello", "stream": true}'
        half, whole = f"{head}Content-Length: 100\r\n\r\n{{", f"{head}Content-Length: {len(body)}\r\n\r\n{body}"
        with silent_client(parley, half), silent_client(parley, whole):
            await parley.client.wait_for_messages(
                conversation, lambda found: len(found) == 2 and found[1]["completed_at"]
            )
            parley.terminate()
            assert await parley.wait(SOON_SECONDS) in GONE
    assert [each.status for each in await stored_messages(url)] == ["completed", "completed"]


async def test_turn_accepted_during_the_signal(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """A turn that commits just after SIGTERM, behind one that never ends, stays queued for the next process."""
    provider.reply("Half ", asyncio.Event())
    async with draining(tmp_path, provider, url, 1) as parley:
        conversation = await parley.client.create_conversation()
        first = asyncio.create_task(parley.client.post_message(conversation, "First"))
        await provider.wait_calls(1)
        with locked(url):
            second = asyncio.create_task(parley.client.post_message(conversation, "Second"))
            for _ in range(10):  # by then the post, sent before these, waits for the lock
                assert await parley.answers("/livez")
            parley.terminate()
            await wait_until_draining(parley)
        assert {(await first).status_code, (await second).status_code} == {502, 503}
        assert await parley.wait(SOON_SECONDS) in GONE
    assert [each.status for each in await stored_messages(url)] == ["completed", "interrupted", "completed", "queued"]


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Lock a SQLite database against writing."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
