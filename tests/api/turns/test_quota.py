"""The daily token limit of a user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.domain.ids import now_ms
from app.domain.quota import DAY_MS
from app.services.turns import quota, reservation
from tests.support.parley_client import message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import Reply
from tests.support.service import Service, provider_settings, serving
from tests.support.shared import empty

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAILY_TOKENS = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bounded_service(shared_database_url: str, shared_provider: FakeProvider) -> AsyncIterator[Service]:
    """A service whose users may spend a hundred tokens a day."""
    configured = provider_settings(shared_provider, database_url=shared_database_url, user_daily_tokens=DAILY_TOKENS)
    async with serving(configured) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def bounded_service(shared_bounded_service: Service) -> Service:
    """The same service with nothing spent yet."""
    await empty(shared_bounded_service)
    return shared_bounded_service


async def test_spent_quota_refused(bounded_service: Service, provider: FakeProvider) -> None:
    """Without tokens left a turn is a 429 with the time of the reset, and other users are not affected."""
    provider.default = Reply(["Hi"], usage=(60, 40))
    conversation = await bounded_service.client.create_conversation(message="Hello")
    for path, body in (
        (messages_path(conversation), {"message": "More"}),
        ("/conversations", {"user_id": "ada", "message": "More"}),
        (f"{message_path(conversation['messages'][1])}/regenerate", {}),
    ):
        response = await bounded_service.client.post(path, json=body)
        problem = expect_problem(response, 429, "quota-exceeded")
        assert problem["resets_at"].endswith("T00:00:00.000Z")
        assert 1 <= int(response.headers["retry-after"]) <= 24 * 60 * 60
    assert len(await bounded_service.client.get_messages(conversation)) == 2
    assert len(await bounded_service.client.get_json("/conversations", user_id="ada")) == 1
    await bounded_service.client.create_conversation(user_id="bob", message="Hello")
    assert len(provider.calls) == 2


async def test_retry_answered_without_quota(bounded_service: Service, provider: FakeProvider) -> None:
    """The retry of an accepted turn is answered although no tokens are left."""
    provider.default = Reply(["Hi"], usage=(60, 40))
    path = messages_path(await bounded_service.client.create_conversation())
    for _ in range(2):
        headers = {"Idempotency-Key": "once"}
        response = await bounded_service.client.post(path, json={"message": "Hello"}, headers=headers)
        assert response.status_code == 201
    assert len(provider.calls) == 1


async def test_reply_stopped_at_limit(bounded_service: Service, provider: FakeProvider) -> None:
    """A reply that reaches the limit is stopped with finish reason `length`, and its text is kept."""
    gate = asyncio.Event()
    provider.reply("x" * 200, gate, "y" * 200, asyncio.Event())
    conversation = await bounded_service.client.create_conversation()
    waiting = asyncio.create_task(bounded_service.client.send(conversation, "Hello"))
    call = await provider.wait_calls(1)
    [run] = bounded_service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    gate.set()
    stored = (await waiting)["messages"][1]
    assert (stored["status"], stored["finish_reason"]) == ("completed", "length")
    assert stored["content"] == "x" * 200 + "y" * 200
    await call.closed.wait()
    expect_problem(await bounded_service.client.post_message(conversation, "More"), 429, "quota-exceeded")


async def test_parallel_turns_share_quota(bounded_service: Service, provider: FakeProvider) -> None:
    """Two parallel replies of a user stop when they have used the rest together."""
    gates = [asyncio.Event(), asyncio.Event()]
    provider.answer(*(Reply(["x" * 160, gate, "y" * 40, asyncio.Event()]) for gate in gates))
    both = [await bounded_service.client.create_conversation() for _ in gates]
    for made in both:
        await bounded_service.client.post_message(made, "Hello", background=True)
    await provider.wait_calls(2)
    await asyncio.gather(*(run.stream.wait_beyond(0) for run in bounded_service.services.turns.executor.runs.values()))
    for gate in gates:
        gate.set()
    ended = [await bounded_service.client.wait_until_ended(made) for made in both]
    assert {each["finish_reason"] for each in ended} == {"length"}


async def test_queued_turn_refused(bounded_service: Service, provider: FakeProvider) -> None:
    """A queued turn fails with `quota-exceeded` when the turn before it has used the rest."""
    gate = asyncio.Event()
    provider.reply("Hi", gate, usage=(60, 40))
    conversation = await bounded_service.client.create_conversation()
    await bounded_service.client.post_message(conversation, "One", background=True)
    await provider.wait_calls(1)
    waiting = asyncio.create_task(bounded_service.client.post_message(conversation, "Two"))
    while len(bounded_service.services.turns.executor.queue) == 0:  # noqa: ASYNC110  only polling works
        await asyncio.sleep(0)
    gate.set()
    expect_problem(await waiting, 429, "quota-exceeded")
    assert len(provider.calls) == 1
    assert (await bounded_service.client.get_messages(conversation))[-1]["error"]["code"] == "quota-exceeded"


async def test_quota_renewed_daily(
    bounded_service: Service, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens of yesterday do not count today, even while a turn of yesterday is running."""
    provider.answer(Reply(["Hi", asyncio.Event()]), Reply(["Hi"], usage=(60, 40)), Reply(["Hi"], usage=(1, 1)))
    running, other = (
        await bounded_service.client.create_conversation(),
        await bounded_service.client.create_conversation(),
    )
    await bounded_service.client.post_message(running, "Hello", background=True)
    await provider.wait_calls(1)
    await bounded_service.client.send(other, "Hello")
    expect_problem(await bounded_service.client.post_message(other, "More"), 429, "quota-exceeded")
    for module in (reservation, quota):
        monkeypatch.setattr(module, "now_ms", lambda: now_ms() + DAY_MS)
    await bounded_service.client.send(other, "More")
