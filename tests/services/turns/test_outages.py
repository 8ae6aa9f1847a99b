"""Turns and their clients during an outage of the database."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from app.db import messages, process_leases, turns
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from app.services.runtime.timings import Timings
from app.services.turns.queue import start_eligible
from tests.support.background import (
    ERRORS,
    end_lease,
    lease_of,
    recover,
    start_half_reply,
    wait_until_ready,
    wake,
)
from tests.support.faults import Outage
from tests.support.parley_client import messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import HASTY, Service, provider_settings, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
named = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
WITHOUT_WAIT = dataclasses.replace(HASTY, client_wait=0)
"""Clients wait for nothing that cannot be read or written."""


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Retries that come soon."""
    return HASTY


@pytest_asyncio.fixture(loop_scope="module")
async def impatient_service(database_url: str, provider: FakeProvider) -> AsyncIterator[Service]:
    """A service whose clients wait for no retry."""
    async with serving(provider_settings(provider, database_url=database_url), WITHOUT_WAIT) as started:
        yield started


@named
async def test_reply_survives_expired_lease(openai_service: Service, provider: FakeProvider, error: Exception) -> None:
    """A reply generated in an outage longer than the lease is stored, if no other process ended the turn."""
    gate = asyncio.Event()
    conversation, post = await start_half_reply(openai_service, provider, gate)
    with Outage(openai_service.database, error, process_leases.heartbeat, turns.settle, turns.checkpoint) as outage:
        await end_lease(openai_service)
        wake(openai_service)
        gate.set()
        await provider.calls[-1].finished.wait()
        await outage.failed.wait()
        await recover(openai_service)
        expect_problem(await wait_until_ready(openai_service, 503), 503, "database-unavailable")
        assert not post.done()
    assert (await post).json()["assistant_reply"] == "Half and half"
    assert (await openai_service.client.get_messages(conversation))[1]["status"] == "completed"
    await wait_until_ready(openai_service)
    assert not lease_of(openai_service).may_recover


CODES = {DatabaseUnavailable: (503, "database-unavailable"), RuntimeError: (500, "internal-error")}


@pytest.mark.parametrize("error", [ERRORS[0], ERRORS[2]], ids=lambda error: type(error).__name__)
async def test_unstored_reply_is_problem_with_id(
    impatient_service: Service, provider: FakeProvider, error: Exception
) -> None:
    """The post's error has the id of the reply to read later; a stream waits until it is stored."""
    gate = asyncio.Event()
    conversation, post = await start_half_reply(impatient_service, provider, gate)
    reply = (await impatient_service.client.get_messages(conversation))[1]
    where = f"{messages_path(conversation)}/{reply['message_id']}"
    async with impatient_service.client.stream_events(f"{where}/events") as events:
        assert (await anext(events)).name == "turn.started"
        with Outage(impatient_service.database, error, turns.settle):
            gate.set()
            answer = expect_problem(await post, *CODES[type(error)])
            assert answer["message_id"] == reply["message_id"]
        seen = [event async for event in events]
    assert "".join(event.data.get("delta", "") for event in seen) == "Half and half"
    assert seen[-1].name == "message.completed"
    assert (await impatient_service.client.get_json(where))["content"] == "Half and half"


@pytest.mark.parametrize("failing", [start_eligible, turns.history], ids=["start", "history"])
async def test_unstarted_turn_is_problem_with_id(
    impatient_service: Service, provider: FakeProvider, failing: Callable[..., Transaction[Any]]
) -> None:
    """A queued post's error has the id of the reply, and the turn runs after the outage."""
    gate = asyncio.Event()
    conversation, post = await start_half_reply(impatient_service, provider, gate)
    waiting = asyncio.create_task(impatient_service.client.post_message(conversation, "Second"))
    await impatient_service.client.wait_for_count(conversation, 4)
    with Outage(impatient_service.database, DatabaseUnavailable(), failing):
        gate.set()
        assert (await post).status_code == 201
        answer = expect_problem(await waiting, 503, "database-unavailable")
    where = f"{messages_path(conversation)}/{answer['message_id']}"
    async with impatient_service.client.stream_events(f"{where}/events") as events:
        assert [event async for event in events][-1].name == "message.completed"
    assert (await impatient_service.client.get_json(where))["content"] == "Echo: Second"


async def test_unfollowed_reply_is_problem(database_url: str, provider: FakeProvider) -> None:
    """A retry that follows another process's turn gets an error, and later the reply."""
    gate, headers = asyncio.Event(), {"Idempotency-Key": "k"}
    configured = provider_settings(provider, database_url=database_url)
    async with serving(configured, WITHOUT_WAIT) as one, serving(configured, WITHOUT_WAIT) as other:
        provider.reply("Half ", gate, "and half")
        path = messages_path(await one.client.create_conversation())
        post = asyncio.create_task(one.client.post(path, json={"message": "Hello"}, headers=headers))
        await provider.wait_calls(1)
        with Outage(other.database, DatabaseUnavailable(), turns.progress):
            retried = await other.client.post(path, json={"message": "Hello"}, headers=headers)
            expect_problem(retried, 503, "database-unavailable")
        gate.set()
        assert (await post).status_code == 201
        again = await other.client.post(path, json={"message": "Hello"}, headers=headers)
        assert again.json()["assistant_reply"] == "Half and half"


async def test_post_waits_for_unreadable_answer(openai_service: Service) -> None:
    """A stored reply is returned once it can be read: an error would have it generated twice."""
    conversation = await openai_service.client.create_conversation()
    with Outage(openai_service.database, DatabaseUnavailable(), messages.latest) as outage:
        post = asyncio.create_task(openai_service.client.post_message(conversation, "Hello"))
        await outage.failed.wait()
    answer = await post
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Echo: Hello")


@pytest.mark.parametrize("begins", [False, True], ids=["message", "conversation"])
async def test_unreadable_answer_is_problem_with_ids(impatient_service: Service, begins: bool) -> None:
    """After a time the error has the ids of the reply and of a conversation that was just created."""
    path = "/conversations" if begins else messages_path(await impatient_service.client.create_conversation())
    body = {"message": "Hello"} | ({"user_id": "ada"} if begins else {})
    with Outage(impatient_service.database, DatabaseUnavailable(), messages.latest):
        answer = expect_problem(await impatient_service.client.post(path, json=body), 503, "database-unavailable")
    where = f"{messages_path(answer)}/{answer['message_id']}"
    assert (await impatient_service.client.get_json(where))["content"] == "Echo: Hello"
