"""WEB_CONCURRENCY=4 on one PostgreSQL, with a connection for each request, which any worker may accept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest
import pytest_asyncio

from tests.support.clock import within
from tests.support.databases import PostgresTemplate
from tests.support.parley_client import ParleyClient, messages_path
from tests.support.problems import expect_problem
from tests.support.process import parley_process
from tests.support.provider import FakeProvider
from tests.support.sse import Event, parse_events
from tests.support.wire import exchanged

STOP_SECONDS = 1.0
PARALLEL = 20

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Workers(NamedTuple):
    """Four workers behind one address, a client that opens a connection for each request, and their provider."""

    url: str
    client: ParleyClient
    provider: FakeProvider

    async def start_turn(self, *steps: Any) -> tuple[dict[str, Any], str]:
        """Start a turn in a new conversation; return the conversation and the path of the reply, which has begun."""
        conversation, calls = await self.client.create_conversation(), len(self.provider.calls)
        self.provider.reply(*steps)
        accepted = await self.client.post_message(conversation, "Hello", background=True)
        assert accepted.status_code == 202
        await self.provider.wait_calls(calls + 1)
        return conversation, accepted.headers["location"]

    async def resume(self, reply: str, k: int = 0) -> list[Event]:
        """Return a reply's events after its first k characters, once it has ended."""
        return parse_events((await self.client.get(f"{reply}/events", headers={"Last-Event-ID": str(k)})).text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers(
    postgres_template: PostgresTemplate, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Workers]:
    """Serve with one command for the module."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    with postgres_template.copy() as url:
        async with FakeProvider() as provider:
            configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
            directory = tmp_path_factory.mktemp("workers")
            async with (
                parley_process(directory, database_url=url, web_concurrency=4, **configured) as parley,
                httpx2.AsyncClient(base_url=parley.url, timeout=30, limits=limits) as http,
            ):
                yield Workers(parley.url, ParleyClient(http), provider)


async def test_resume_at_any_worker(workers: Workers) -> None:
    """Readers at all workers, from each character, during the reply and after it, get exactly the rest."""
    gate, text = asyncio.Event(), "Hälfte 😀 und Ganzes"
    _, reply = await workers.start_turn(text[:9], gate, text[9:])
    live = [asyncio.create_task(workers.resume(reply, k)) for k in range(len(text) + 1)]
    gate.set()
    for k, events in enumerate(await asyncio.gather(*live)):
        assert "".join(event.data.get("delta", "") for event in events) == text[k:]
        assert events[-1] == (await workers.resume(reply, k))[-1]


async def test_cancel_at_any_worker(workers: Workers) -> None:
    """A reply is cancelled by whichever worker gets the request; the provider's connection closes within a second."""
    for _ in range(5):
        _, reply = await workers.start_turn("Half ", asyncio.Event())
        assert (await workers.client.post(f"{reply}/cancel")).status_code == 202
        async with within(STOP_SECONDS):
            await workers.provider.calls[-1].closed.wait()
        assert (await workers.resume(reply))[-1].name == "message.cancelled"
        assert (await workers.client.post(f"{reply}/cancel")).status_code == 409


async def test_on_busy_at_any_worker(workers: Workers) -> None:
    """`on_busy` waits for, rejects because of and interrupts turns of all workers."""
    client = workers.client
    conversation, _ = await workers.start_turn("Half ", asyncio.Event())
    waiting = asyncio.create_task(client.post_message(conversation, "Second"))
    await client.wait_for_count(conversation, 4)
    refused = await client.post_message(conversation, "Third", on_busy="reject")
    expect_problem(refused, 409, "conversation-busy")
    answer = await client.send(conversation, "Fourth", on_busy="interrupt")
    assert [message["status"] for message in answer["messages"][1::2]] == ["cancelled", "cancelled", "completed"]
    assert (await waiting).status_code == 201


async def test_turns_run_in_sequence_order(workers: Workers) -> None:
    """Of twelve posts at once to one conversation each turn's prompt has all turns before it."""
    conversation, calls = await workers.client.create_conversation(), len(workers.provider.calls)
    await asyncio.gather(*(workers.client.send(conversation, f"word{n}") for n in range(12)))
    stored = await workers.client.get_messages(conversation)
    assert [message["sequence_number"] for message in stored] == list(range(1, 25))
    prompts = [[message["content"] for message in call.body["messages"]] for call in workers.provider.calls[calls:]]
    contents = [message["content"] for message in stored]
    assert prompts == [contents[: 2 * n + 1] for n in range(12)]


async def test_regenerate_at_any_worker(workers: Workers) -> None:
    """The last reply is regenerated by any worker, whichever made it."""
    conversation = await workers.client.create_conversation(message="Hello")
    reply = conversation["messages"][1]
    for number in range(3, 6):
        path = f"{messages_path(conversation)}/{reply['message_id']}/regenerate"
        answer = await workers.client.post(path, json={})
        assert answer.status_code == 201
        reply = answer.json()["messages"][-1]
        assert reply["sequence_number"] == number


async def test_idempotency_key_at_all_workers(workers: Workers) -> None:
    """Twenty posts at once under one key get one answer from one call of the provider."""
    path, calls = messages_path(await workers.client.create_conversation()), len(workers.provider.calls)
    keyed: dict[str, Any] = {"json": {"message": "Hello"}, "headers": {"Idempotency-Key": "one"}}
    answers = await asyncio.gather(*(workers.client.post(path, **keyed) for _ in range(PARALLEL)))
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert len(workers.provider.calls) == calls + 1


async def test_malformed_http_at_any_worker(workers: Workers) -> None:
    """Malformed HTTP is answered with a problem document by whichever worker takes the connection."""
    answers = await asyncio.gather(*(exchanged(workers.url, b"nonsense\r\n\r\n") for _ in range(PARALLEL)))
    assert [[each.status for each in answer] for answer in answers] == [[400]] * PARALLEL
    assert {answer[0].headers["content-type"] for answer in answers} == {"application/problem+json"}
