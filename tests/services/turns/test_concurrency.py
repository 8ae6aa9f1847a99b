"""Many turns at the same time: numbering, limits and connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.parley_client import conversation_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import Service, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_parallel_turns_are_numbered_in_pairs(service: Service) -> None:
    """50 parallel posts to one conversation have the numbers 1 to 100, each reply after its question."""
    conversation = await service.client.create_conversation()
    await asyncio.gather(*(service.client.send(conversation, f"word{n}") for n in range(50)))
    messages = await service.client.get_messages(conversation)
    assert [message["sequence_number"] for message in messages] == list(range(1, 101))
    assert [message["role"] for message in messages] == ["user", "assistant"] * 50
    questions, replies = [[message["content"] for message in messages[start::2]] for start in (0, 1)]
    assert questions == replies
    assert sorted(questions) == sorted(f"word{n}" for n in range(50))


async def test_65th_unfinished_turn_is_refused(service: Service) -> None:
    """It is `queue-full`, and takes no sequence number."""
    conversation = await service.client.create_conversation()
    posts = [asyncio.create_task(service.client.post_message(conversation, "x", model="stall")) for _ in range(65)]
    done, waiting = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
    expect_problem(done.pop().result(), 409, "queue-full")
    assert not done
    assert len(await service.client.get_messages(conversation)) == 100  # of 128: a page
    assert (await service.client.get_conversation(conversation))["message_count"] == 128
    await service.client.delete(conversation_path(conversation))
    assert {post.result().status_code for post in (await asyncio.wait(waiting))[0]} == {404}


@pytest_asyncio.fixture(loop_scope="module")
async def narrow_service(database_url: str, provider: FakeProvider) -> AsyncIterator[Service]:
    """A service with one connection to its database."""
    configured = settings(
        database_url=database_url,
        database_pool_size=1,
        llm_provider="openai",
        openai_api_key="x",
        openai_base_url=provider.openai_base_url,
    )
    async with serving(configured) as started:
        yield started


async def wait_for_free_connection(service: Service) -> None:
    """Wait until background work has returned the connection too."""
    async with asyncio.timeout(30):
        while service.database.connections_in_use:  # noqa: ASYNC110  it sets no event
            await asyncio.sleep(0)


async def test_one_connection_serves_thirty_streams(narrow_service: Service, provider: FakeProvider) -> None:
    """With a pool of one, 30 streams run in parallel; all replies are stored though 15 clients disconnect."""
    service, gate = narrow_service, asyncio.Event()
    for _ in range(30):
        provider.reply("Half ", gate, "and half")
    conversations = [await service.client.create_conversation() for _ in range(30)]
    half = asyncio.Semaphore(0)

    async def stream(place: int) -> None:
        async with service.client.stream(conversations[place], "Hello") as events:
            async for event in events:
                if event.data.get("delta") == "Half ":
                    half.release()
                    if place % 2:
                        return

    streams = [asyncio.create_task(stream(place)) for place in range(30)]
    for _ in range(30):
        await half.acquire()
    await wait_for_free_connection(service)
    gate.set()
    await asyncio.gather(*streams)
    await asyncio.gather(*(run.stream.wait_finished() for run in list(service.services.turns.executor.runs.values())))
    for conversation in conversations:
        question, reply = await service.client.get_messages(conversation)
        assert (question["sequence_number"], reply["sequence_number"]) == (1, 2)
        assert (reply["status"], reply["content"]) == ("completed", "Half and half")
    await wait_for_free_connection(service)
