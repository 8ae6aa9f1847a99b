"""One command, two processes; and uvicorn without ours."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.shutdown import SAME_SIGNAL_SECONDS
from tests.live.talk import make, messages, rows, stored, stream, told, until
from tests.support.process import GONE, POLL_SECONDS, UVICORN, Parley, parley_process
from tests.support.provider import FakeProvider


async def leases(database_url: str) -> int:
    """How many processes serve on a database."""
    [(count,)] = await rows(database_url, "SELECT count(*) FROM processes")
    return int(count)


async def until_leases(database_url: str, count: int) -> None:
    """Waits until so many processes serve; only their leases tell."""
    async with asyncio.timeout(20):
        while await leases(database_url) != count:  # noqa: ASYNC110  another process's doing sets no event
            await asyncio.sleep(POLL_SECONDS)


async def test_uvicorn_serves_the_application(tmp_path: Path) -> None:
    """`uvicorn app.main:app` takes its settings from the environment, and leaves when it is told to."""
    command = (*UVICORN, "app.main:app", "--port", "0")
    async with parley_process(tmp_path, command, llm_provider="scripted", data_dir="here") as parley:
        made = await make(parley, message="Hello")
        assert made["assistant_reply"] == "Hello"
        assert len(await rows(f"sqlite:///{tmp_path}/here/parley.db", "SELECT 1 FROM messages")) == 2
        parley.terminate()
        assert await parley.wait(10) in GONE


async def many_turns(parley: Parley, count: int) -> None:
    """Posts at once to one conversation, on a connection each so that all workers are met."""
    conversation = await make(parley)
    replies = await asyncio.gather(*(told(parley, conversation, f"word{n}") for n in range(count)))
    assert replies == [f"word{n}" for n in range(count)]
    found = await messages(parley, conversation)
    assert [each["sequence_number"] for each in found] == list(range(1, 2 * count + 1))


async def test_two_workers_serve_one_database(tmp_path: Path, database_url: str) -> None:
    """WEB_CONCURRENCY=2 serves with two processes, in JSON lines alone; SIGTERM ends all of them and their leases."""
    settings: dict[str, Any] = {"database_url": database_url, "llm_provider": "scripted", "web_concurrency": 2}
    async with parley_process(tmp_path, **settings) as parley:
        await until_leases(database_url, 2)
        await many_turns(parley, 20)
        parley.terminate()
        assert await parley.wait(10) in GONE
        assert {line["level"] for line in parley.log} == {"info"}
    assert await leases(database_url) == 0


async def test_workers_finish_their_turns(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """SIGTERM to the parent, and to the whole group as some supervisors do, lets a worker's turn come to its end."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "and half")
    settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    async with parley_process(tmp_path, database_url=url, web_concurrency=2, **settings) as parley:
        conversation = await make(parley)
        async with stream(parley, conversation, "Hello") as events:
            await until(events, "message.delta")
            parley.terminate_group()
            await until(events, "stream.closing")
        gate.set()
        assert await parley.wait(10) in GONE
    assert (await stored(url))[1] == (2, "assistant", "completed", "Half and half")


async def test_a_second_signal_to_the_parent_ends_its_workers(tmp_path: Path, url: str, provider: FakeProvider) -> None:
    """Whoever will not wait for the workers' turns sends SIGTERM again: what there is of the reply is kept."""
    provider.reply("Half ", asyncio.Event())
    settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    async with parley_process(tmp_path, database_url=url, web_concurrency=2, **settings) as parley:
        conversation = await make(parley)
        async with stream(parley, conversation, "Hello") as events:
            await until(events, "message.delta")
            parley.terminate()
            await until(events, "stream.closing")
        with pytest.raises(TimeoutError):  # by then a repeated signal is not the same one any more
            await parley.wait(SAME_SIGNAL_SECONDS)
        parley.terminate()
        assert await parley.wait(5) in GONE
    assert (await stored(url))[1] == (2, "assistant", "interrupted", "Half ")


async def test_a_worker_that_dies_is_replaced(tmp_path: Path, url: str) -> None:
    """After kill -9 of one worker the other serves on, and a new one takes the place."""
    settings: dict[str, Any] = {"database_url": url, "llm_provider": "scripted", "web_concurrency": 2}
    async with parley_process(tmp_path, **settings) as parley:
        await until_leases(url, 2)
        [first, second] = workers_of(parley)
        first.kill()
        await until_leases(url, 3)  # the dead one's has not run out yet
        assert second in workers_of(parley)
        await many_turns(parley, 4)


def workers_of(parley: Parley) -> list[psutil.Process]:
    """The processes that serve for a parent; it has another child, which only keeps track of resources."""
    children = psutil.Process(parley.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
