"""The tokens that a user may spend in a day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.domain.ids import now_ms
from app.domain.quota import DAY_MS
from app.services.turns import quota, reservation
from tests.api.talk import got, make, messages_of, problem_of, say, told, until_ended
from tests.support.provider import FakeProvider
from tests.support.replies import Reply
from tests.support.service import Service, asking, serving
from tests.support.shared import empty

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAILY_TOKENS = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bounded_service(shared_database_url: str, shared_provider: FakeProvider) -> AsyncIterator[Service]:
    """A service whose users may spend a hundred tokens a day."""
    configured = asking(shared_provider, database_url=shared_database_url, user_daily_tokens=DAILY_TOKENS)
    async with serving(configured) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def bounded_service(shared_bounded_service: Service) -> Service:
    """The same, with nothing spent yet."""
    await empty(shared_bounded_service)
    return shared_bounded_service


async def test_a_user_who_has_spent_the_day_s_tokens_is_refused(
    bounded_service: Service, provider: FakeProvider
) -> None:
    """Before a turn: 429 with the moment of new tokens, nothing stored, nobody asked; other users go on."""
    provider.default = Reply(["Hi"], usage=(60, 40))
    made = await make(bounded_service, message="Hello")
    for path, body in (
        (messages_of(made), {"message": "More"}),
        ("/conversations", {"user_id": "ada", "message": "More"}),
        (f"{messages_of(made)}/{made['messages'][1]['message_id']}/regenerate", {}),
    ):
        response = await bounded_service.client.post(path, json=body)
        problem = problem_of(response, 429, "quota-exceeded")
        assert problem["resets_at"].endswith("T00:00:00.000Z")
        assert 1 <= int(response.headers["retry-after"]) <= 24 * 60 * 60
    assert len(await got(bounded_service, messages_of(made))) == 2
    assert len(await got(bounded_service, "/conversations", user_id="ada")) == 1
    await make(bounded_service, user_id="bob", message="Hello")
    assert len(provider.calls) == 2


async def test_a_retry_of_what_was_accepted_is_answered(bounded_service: Service, provider: FakeProvider) -> None:
    """A key's first result is told also when nothing is left to spend."""
    provider.default = Reply(["Hi"], usage=(60, 40))
    path = messages_of(await make(bounded_service))
    for _ in range(2):
        headers = {"Idempotency-Key": "once"}
        response = await bounded_service.client.post(path, json={"message": "Hello"}, headers=headers)
        assert response.status_code == 201
    assert len(provider.calls) == 1


async def test_a_reply_is_ended_where_the_tokens_are(bounded_service: Service, provider: FakeProvider) -> None:
    """During a turn: the reply stops at the limit, is kept, and has finished for length; the provider is closed."""
    gate = asyncio.Event()
    provider.reply("x" * 200, gate, "y" * 200, asyncio.Event())
    made = await make(bounded_service)
    waiting = asyncio.create_task(told(bounded_service, made, "Hello"))
    call = await provider.wait_calls(1)
    [run] = bounded_service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    gate.set()
    stored = (await waiting)["messages"][1]
    assert (stored["status"], stored["finish_reason"]) == ("completed", "length")
    assert stored["content"] == "x" * 200 + "y" * 200
    await call.closed.wait()
    problem_of(await say(bounded_service, made, "More"), 429, "quota-exceeded")


async def test_turns_at_once_share_what_is_left(bounded_service: Service, provider: FakeProvider) -> None:
    """Two replies at once of one user stop when they have spent it together."""
    gates = [asyncio.Event(), asyncio.Event()]
    provider.answer(*(Reply(["x" * 160, gate, "y" * 40, asyncio.Event()]) for gate in gates))
    both = [await make(bounded_service) for _ in gates]
    for made in both:
        await say(bounded_service, made, "Hello", background=True)
    await provider.wait_calls(2)
    await asyncio.gather(*(run.stream.wait_beyond(0) for run in bounded_service.services.turns.executor.runs.values()))
    for gate in gates:
        gate.set()
    ended = [await until_ended(bounded_service, made) for made in both]
    assert {each["finish_reason"] for each in ended} == {"length"}


async def test_a_turn_that_waited_too_long_is_refused_unasked(bounded_service: Service, provider: FakeProvider) -> None:
    """A turn that was accepted behind the one that spends the rest fails with the same code, and nobody is asked."""
    gate = asyncio.Event()
    provider.reply("Hi", gate, usage=(60, 40))
    made = await make(bounded_service)
    await say(bounded_service, made, "One", background=True)
    await provider.wait_calls(1)
    waiting = asyncio.create_task(say(bounded_service, made, "Two"))
    while len(bounded_service.services.turns.executor.queue) == 0:  # noqa: ASYNC110  nothing tells but looking
        await asyncio.sleep(0)
    gate.set()
    problem_of(await waiting, 429, "quota-exceeded")
    assert len(provider.calls) == 1
    assert (await got(bounded_service, messages_of(made)))[-1]["error"]["code"] == "quota-exceeded"


async def test_a_day_s_tokens_are_that_day_s_alone(
    bounded_service: Service, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user has spent yesterday is no matter today, also while a turn of yesterday's is still at work."""
    provider.answer(Reply(["Hi", asyncio.Event()]), Reply(["Hi"], usage=(60, 40)), Reply(["Hi"], usage=(1, 1)))
    running, other = await make(bounded_service), await make(bounded_service)
    await say(bounded_service, running, "Hello", background=True)
    await provider.wait_calls(1)
    await told(bounded_service, other, "Hello")
    problem_of(await say(bounded_service, other, "More"), 429, "quota-exceeded")
    for module in (reservation, quota):
        monkeypatch.setattr(module, "now_ms", lambda: now_ms() + DAY_MS)
    await told(bounded_service, other, "More")
