"""Two workers of one command, and the application under uvicorn's own command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.db.models import MessageRow, ProcessRow
from app.shutdown import SAME_SIGNAL_SECONDS
from tests.support.process import GONE, POLL_SECONDS, UVICORN, Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.sse import wait_for_event
from tests.support.stored import count_rows, stored_messages


async def wait_for_leases(database_url: str, count: int) -> None:
    """Wait until this number of processes has a lease."""
    async with asyncio.timeout(20):
        while await count_rows(database_url, ProcessRow) != count:  # noqa: ASYNC110  only polling works
            await asyncio.sleep(POLL_SECONDS)


async def test_uvicorn_serves(tmp_path: Path) -> None:
    """`uvicorn app.main:app` reads its settings from the environment and ends on SIGTERM."""
    command = (*UVICORN, "app.main:app", "--port", "0")
    async with parley_process(tmp_path, command, llm_provider="scripted", data_dir="here") as parley:
        made = await parley.client.create_conversation(message="Hello")
        assert made["assistant_reply"] == "Hello"
        assert await count_rows(f"sqlite:///{tmp_path}/here/parley.db", MessageRow) == 2
        parley.terminate()
        assert await parley.wait(10) in GONE


async def run_turns(parley: Parley, count: int) -> None:
    """Post many turns at once to one conversation, each on a connection of its own so that all workers get some."""
    conversation = await parley.client.create_conversation()
    answers = await asyncio.gather(*(parley.client.send(conversation, f"word{n}") for n in range(count)))
    assert [each["assistant_reply"] for each in answers] == [f"word{n}" for n in range(count)]
    found = await parley.client.get_messages(conversation)
    assert [each["sequence_number"] for each in found] == list(range(1, 2 * count + 1))


async def test_two_workers_serve(tmp_path: Path, database_url: str) -> None:
    """WEB_CONCURRENCY=2 serves with two processes that log JSON; SIGTERM ends both and their leases."""
    settings: dict[str, Any] = {"database_url": database_url, "llm_provider": "scripted", "web_concurrency": 2}
    async with parley_process(tmp_path, **settings) as parley:
        await wait_for_leases(database_url, 2)
        await run_turns(parley, 20)
        parley.terminate()
        assert await parley.wait(10) in GONE
        assert {line["level"] for line in parley.log} == {"info"}
    assert await count_rows(database_url, ProcessRow) == 0


async def test_workers_finish_their_turns(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """SIGTERM to the whole process group, as some supervisors send it, lets a worker's turn finish."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "and half")
    settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    async with parley_process(tmp_path, database_url=url, web_concurrency=2, **settings) as parley:
        conversation = await parley.client.create_conversation()
        async with parley.client.stream(conversation, "Hello") as events:
            await wait_for_event(events, "message.delta")
            parley.terminate_group()
            await wait_for_event(events, "stream.closing")
        gate.set()
        assert await parley.wait(10) in GONE
    assert (await stored_messages(url))[1] == (2, "assistant", "completed", "Half and half")


async def test_second_signal_ends_the_workers(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """A second SIGTERM to the parent ends the drain of its workers; the text of the reply so far is kept."""
    provider.reply("Half ", asyncio.Event())
    settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    async with parley_process(tmp_path, database_url=url, web_concurrency=2, **settings) as parley:
        conversation = await parley.client.create_conversation()
        async with parley.client.stream(conversation, "Hello") as events:
            await wait_for_event(events, "message.delta")
            parley.terminate()
            await wait_for_event(events, "stream.closing")
        with pytest.raises(TimeoutError):  # a signal repeated earlier counts as the same one
            await parley.wait(SAME_SIGNAL_SECONDS)
        parley.terminate()
        assert await parley.wait(5) in GONE
    assert (await stored_messages(url))[1] == (2, "assistant", "interrupted", "Half ")


async def test_dead_worker_is_replaced(tmp_path: Path, url: str) -> None:
    """After kill -9 of one worker the other continues to serve, and a new one replaces it."""
    settings: dict[str, Any] = {"database_url": url, "llm_provider": "scripted", "web_concurrency": 2}
    async with parley_process(tmp_path, **settings) as parley:
        await wait_for_leases(url, 2)
        [first, second] = workers_of(parley)
        first.kill()
        await wait_for_leases(url, 3)  # the dead worker's has not expired yet
        assert second in workers_of(parley)
        await run_turns(parley, 4)


def workers_of(parley: Parley) -> list[psutil.Process]:
    """Return the worker processes of a parent, without multiprocessing's resource tracker."""
    children = psutil.Process(parley.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
