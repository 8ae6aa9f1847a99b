"""WEB_CONCURRENCY=4 on one PostgreSQL, each request on a connection of its own: any worker may take it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest
import pytest_asyncio

from tests.api.talk import Event, events_of
from tests.support.clock import within
from tests.support.databases import PostgresTemplate
from tests.support.process import Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.wire import exchanged

STOP_SECONDS = 1.0
PARALLEL = 20

pytestmark = pytest.mark.asyncio(loop_scope="module")


class House(NamedTuple):
    """Four workers behind one address, and their provider."""

    parley: Parley
    provider: FakeProvider

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer of any worker."""
        async with httpx2.AsyncClient(base_url=self.parley.url, timeout=30) as client:
            return await client.request(method, path, **options)

    async def post(self, path: str, key: str | None = None, **body: Any) -> httpx2.Response:
        """The answer to a post, perhaps under a key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.ask("POST", path, json=body, headers=headers)

    async def events(self, path: str, k: int = 0) -> list[Event]:
        """A reply's events from a character on, to their end."""
        return events_of((await self.ask("GET", f"{path}/events", headers={"Last-Event-ID": str(k)})).text)

    async def conversation(self) -> str:
        """Where a new conversation's messages are."""
        made = await self.post("/conversations", user_id="ada")
        return f"{made.headers['location']}/messages"

    async def at_work(self, *steps: Any) -> tuple[str, str]:
        """A conversation's messages and its reply, which has begun."""
        path, calls = await self.conversation(), len(self.provider.calls)
        self.provider.reply(*steps)
        accepted = await self.post(path, message="Hello", background=True)
        assert accepted.status_code == 202
        await self.provider.wait_calls(calls + 1)
        return path, accepted.headers["location"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres_template: PostgresTemplate, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One command for the module."""
    with postgres_template.copy() as url:
        async with FakeProvider() as provider:
            configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
            directory = tmp_path_factory.mktemp("workers")
            async with parley_process(directory, database_url=url, web_concurrency=4, **configured) as parley:
                yield House(parley, provider)


async def test_a_reply_is_resumed_at_any_worker(house: House) -> None:
    """Readers at all workers, from all characters, while the reply is made and afterwards, have exactly the rest."""
    gate, text = asyncio.Event(), "Hälfte 😀 und Ganzes"
    _, reply = await house.at_work(text[:9], gate, text[9:])
    live = [asyncio.create_task(house.events(reply, k)) for k in range(len(text) + 1)]
    gate.set()
    for k, events in enumerate(await asyncio.gather(*live)):
        assert "".join(event.data.get("delta", "") for event in events) == text[k:]
        assert events[-1] == (await house.events(reply, k))[-1]


async def test_a_reply_is_stopped_at_any_worker(house: House) -> None:
    """Five replies are stopped wherever the cancel comes in; each provider's connection is closed within a second."""
    for _ in range(5):
        _, reply = await house.at_work("Half ", asyncio.Event())
        assert (await house.ask("POST", f"{reply}/cancel")).status_code == 202
        async with within(STOP_SECONDS):
            await house.provider.calls[-1].closed.wait()
        assert (await house.events(reply))[-1].name == "message.cancelled"
        assert (await house.ask("POST", f"{reply}/cancel")).status_code == 409


async def test_turns_wait_refuse_and_interrupt_at_any_worker(house: House) -> None:
    """`on_busy` sees the turns of all workers."""
    path, _ = await house.at_work("Half ", asyncio.Event())
    waiting = asyncio.create_task(house.post(path, message="Second"))
    while len((await house.ask("GET", path)).json()) < 4:
        pass
    refused = await house.post(path, message="Third", on_busy="reject")
    assert (refused.status_code, refused.json()["code"]) == (409, "conversation-busy")
    answer = (await house.post(path, message="Fourth", on_busy="interrupt")).json()
    assert [message["status"] for message in answer["messages"][1::2]] == ["cancelled", "cancelled", "completed"]
    assert (await waiting).status_code == 201


async def test_turns_of_all_workers_run_in_sequence_order(house: House) -> None:
    """Twelve posts at once to one conversation: numbers without holes, and each turn was told all before it."""
    path, calls = await house.conversation(), len(house.provider.calls)
    answers = await asyncio.gather(*(house.post(path, message=f"word{n}") for n in range(12)))
    assert {answer.status_code for answer in answers} == {201}
    stored = (await house.ask("GET", path)).json()
    assert [message["sequence_number"] for message in stored] == list(range(1, 25))
    told = [[message["content"] for message in call.body["messages"]] for call in house.provider.calls[calls:]]
    said = [message["content"] for message in stored]
    assert told == [said[: 2 * n + 1] for n in range(12)]


async def test_a_reply_is_regenerated_at_any_worker(house: House) -> None:
    """The last reply gets a successor, wherever the first was made."""
    path = await house.conversation()
    reply = (await house.post(path, message="Hello")).json()["messages"][1]
    for number in range(3, 6):
        answer = await house.post(f"{path}/{reply['message_id']}/regenerate")
        assert answer.status_code == 201
        reply = answer.json()["messages"][-1]
        assert reply["sequence_number"] == number


async def test_one_key_is_one_turn_at_all_workers(house: House) -> None:
    """Twenty posts at once under one key have one answer, and the provider one call."""
    path, calls = await house.conversation(), len(house.provider.calls)
    answers = await asyncio.gather(*(house.post(path, "one", message="Hello") for _ in range(PARALLEL)))
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert len(house.provider.calls) == calls + 1


async def test_every_worker_refuses_broken_http_with_a_problem(house: House) -> None:
    """What is no HTTP is a problem whichever worker takes the connection."""
    answers = await asyncio.gather(*(exchanged(house.parley.url, b"nonsense\r\n\r\n") for _ in range(PARALLEL)))
    assert [[each.status for each in answer] for answer in answers] == [[400]] * PARALLEL
    assert {answer[0].headers["content-type"] for answer in answers} == {"application/problem+json"}
