"""A process accepts as many turns as it has slots and places in the queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.parley_client import conversation_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import Reply
from tests.support.rows import row_counts
from tests.support.service import Service, provider_settings, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_WORK = 3
WAITING = 2


@pytest_asyncio.fixture(loop_scope="module")
async def small_service(database_url: str, provider: FakeProvider) -> AsyncIterator[Service]:
    """A service with three slots and a queue of two."""
    room = {"max_turns_at_work": AT_WORK, "max_turns_waiting": WAITING, "max_turns_waiting_per_user": WAITING + 1}
    configured = provider_settings(provider, database_url=database_url, **room)
    async with serving(configured) as started:
        yield started


@contextlib.asynccontextmanager
async def filled(service: Service, provider: FakeProvider) -> AsyncIterator[list[dict[str, Any]]]:
    """Fill the service with one turn per conversation: the first three run, the others are queued."""
    gate = asyncio.Event()
    provider.default = lambda _: Reply(["Half ", gate, "and half"])
    accepted = [await accept_first_turn(service) for _ in range(AT_WORK + WAITING)]
    await provider.wait_calls(AT_WORK)
    yield accepted
    gate.set()
    for conversation in accepted:
        assert (await service.client.wait_until_ended(conversation))["status"] in {"completed", "cancelled"}


async def accept_first_turn(service: Service) -> dict[str, Any]:
    """Create a conversation with a first turn in the background."""
    request = {"user_id": "ada", "message": "Hello", "background": True}
    response = await service.client.post("/conversations", json=request)
    assert response.status_code == 202, response.text
    created: dict[str, Any] = response.json()
    return created


async def test_turns_beyond_capacity_are_refused(small_service: Service, provider: FakeProvider) -> None:
    """A turn beyond the slots and the queue is 503 `overloaded` with Retry-After, and nothing is stored."""
    spare = await small_service.client.create_conversation()
    async with filled(small_service, provider):
        before = await row_counts(small_service)
        expect_problem(await small_service.client.post_message(spare, "Too much"), 503, "overloaded")
        started = {"user_id": "new", "message": "Too much"}
        expect_problem(await small_service.client.post("/conversations", json=started), 503, "overloaded")
        assert await row_counts(small_service) == before
        assert len(provider.calls) == AT_WORK
    assert (await small_service.client.post_message(spare, "Room again")).status_code == 201


async def test_full_service_serves_other_requests(small_service: Service, provider: FakeProvider) -> None:
    """Reads, cancel, empty conversations and health are served; a cancelled turn makes room."""
    async with filled(small_service, provider) as accepted:
        for path in ("/livez", "/readyz", "/health", conversation_path(accepted[0]), messages_path(accepted[-1])):
            assert (await small_service.client.get(path)).status_code == 200
        spare = await small_service.client.create_conversation()
        waiting = f"{messages_path(accepted[-1])}/{accepted[-1]['messages'][1]['message_id']}"
        cancelled = await small_service.client.post(f"{waiting}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
        assert "message.cancelled" in (await small_service.client.get(f"{waiting}/events")).text
        assert (await small_service.client.post_message(spare, "Hello", background=True)).status_code == 202
    assert len(provider.calls) == AT_WORK + WAITING


async def test_capacity_without_queue(database_url: str, provider: FakeProvider) -> None:
    """With no place in the queue a turn runs if there is a slot, and is refused otherwise."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    configured = provider_settings(provider, database_url=database_url, max_turns_at_work=1, max_turns_waiting=0)
    async with serving(configured) as service:
        busy = await accept_first_turn(service)
        expect_problem(
            await service.client.post_message(await service.client.create_conversation(), "Hello"), 503, "overloaded"
        )
        expect_problem(await service.client.post_message(busy, "Behind"), 503, "overloaded")
        gate.set()
        await service.client.wait_until_ended(busy)
        while service.services.turns.executor.runs:  # noqa: ASYNC110  its slot is free a moment after its end
            await asyncio.sleep(0)
        assert (await service.client.post_message(busy, "Again")).status_code == 201


async def test_burst_fills_capacity(small_service: Service, provider: FakeProvider) -> None:
    """Of many parallel posts exactly as many are accepted as there is capacity, and all of them end."""
    spare = [await small_service.client.create_conversation() for _ in range(3 * (AT_WORK + WAITING))]
    gate = asyncio.Event()
    provider.default = lambda _: Reply([gate, "Whole"])
    posts = [small_service.client.post_message(conversation, "Hello", background=True) for conversation in spare]
    statuses = [response.status_code for response in await asyncio.gather(*posts)]
    assert (statuses.count(202), statuses.count(503)) == (AT_WORK + WAITING, len(spare) - AT_WORK - WAITING)
    gate.set()
    ended = [
        await small_service.client.wait_until_ended(conversation)
        for conversation, status in zip(spare, statuses, strict=True)
        if status == 202
    ]
    assert {message["content"] for message in ended} == {"Whole"}


async def test_embedded_model_has_two_slots(database_url: str) -> None:
    """Of three turns for the embedded model the third is queued, with the default LOCAL_MODEL_TURNS."""
    async with serving(settings(database_url=database_url, llm_provider="local")) as service:
        accepted = await asyncio.gather(*(accept_first_turn(service) for _ in range(3)))
        statuses = sorted(conversation["messages"][1]["status"] for conversation in accepted)
        assert statuses == ["in_progress", "in_progress", "queued"]
        for conversation in accepted:
            assert (await service.client.wait_until_ended(conversation))["status"] == "completed"
