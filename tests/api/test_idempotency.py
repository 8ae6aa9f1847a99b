"""`Idempotency-Key`: one key, one turn."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.api.talk import (
    Event,
    events_of,
    got,
    live_events,
    make,
    messages_of,
    path_of,
    problem_of,
    row_counts,
    until_accepted,
    until_ended,
)
from tests.support.provider import FakeProvider
from tests.support.replies import server_error
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARALLEL = 20


async def keyed(service: Service, path: str, key: str = "k", **body: Any) -> httpx2.Response:
    """The answer to a request under a key."""
    return await service.client.post(path, json=body, headers={"Idempotency-Key": key})


def replayed(response: httpx2.Response) -> bool:
    """Whether an answer says that it is a first one's."""
    return response.headers.get("idempotency-replayed") == "true"


async def test_parallel_posts_under_one_key_are_one_turn(openai_service: Service, provider: FakeProvider) -> None:
    """Twenty at once make one turn and one call of the provider, and all have the same answer."""
    path = messages_of(await make(openai_service))
    posts = [keyed(openai_service, path, message="Hello") for _ in range(PARALLEL)]
    answers = await asyncio.gather(*posts)
    assert [answer.status_code for answer in answers] == [201] * PARALLEL
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert sum(map(replayed, answers)) == PARALLEL - 1
    assert (len(await got(openai_service, path)), len(provider.calls)) == (2, 1)


async def test_parallel_conversations_under_one_key_are_one(openai_service: Service, provider: FakeProvider) -> None:
    """The same for conversations with a first message, and for empty ones."""
    for key, body in (("a", {"message": "Hello"}), ("b", {})):
        posts = [keyed(openai_service, "/conversations", key, user_id="ada", **body) for _ in range(PARALLEL)]
        answers = await asyncio.gather(*posts)
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["conversation_id"] for answer in answers}) == 1
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert sum(map(replayed, answers)) == PARALLEL - 1
    assert len(provider.calls) == 1
    assert (await row_counts(openai_service))["conversations"] == 2


async def test_a_retry_after_a_lost_answer_gets_it(openai_service: Service, provider: FakeProvider) -> None:
    """Whose client went before the answer asks again under the key, and has the turn's answer."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    conversation = await make(openai_service)
    path = messages_of(conversation)
    first = asyncio.create_task(keyed(openai_service, path, message="Hello"))
    await until_accepted(openai_service, conversation, 2)
    first.cancel()
    retry = asyncio.create_task(keyed(openai_service, path, message="Hello"))
    gate.set()
    answer = await retry
    assert (answer.status_code, answer.json()["assistant_reply"], replayed(answer)) == (201, "Half whole", True)
    again = await keyed(openai_service, path, message="Hello")
    assert (again.json(), len(provider.calls)) == (answer.json(), 1)


async def test_a_streaming_retry_attaches_to_the_running_turn(openai_service: Service, provider: FakeProvider) -> None:
    """A stream that was cut is asked for again under its key: all of the turn's events come, from the first one on."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    path = messages_of(await make(openai_service))
    body, headers = {"message": "Hello", "stream": True}, {"Idempotency-Key": "k"}
    first: list[Event] = []
    async with openai_service.client.http.stream("POST", path, json=body, headers=headers) as response:
        async for event in live_events(response):
            first.append(event)
            if event.name == "message.delta":
                break
    async with openai_service.client.http.stream("POST", path, json=body, headers=headers) as response:
        assert replayed(response)
        gate.set()
        retry = [event async for event in live_events(response)]
    assert retry[0] == first[0]
    assert "".join(event.data.get("delta", "") for event in retry) == "Half whole"
    assert (retry[-1].name, len(provider.calls)) == ("message.completed", 1)


async def test_a_retry_may_ask_for_another_form(service: Service) -> None:
    """`stream` and `background` are no part of what a key stands for; nor is how a value is written."""
    path = messages_of(await make(service))
    first = await keyed(service, path, message="Hello")
    streamed = events_of((await keyed(service, path, message="Hello", stream=True)).text)
    assert streamed[-1].data["message"] == first.json()["messages"][1]
    later = await keyed(service, path, message="Hello", background=True, on_busy="queue", model=None)
    assert (later.status_code, later.json()["assistant_reply"], replayed(later)) == (202, "Hello", True)
    made = [await keyed(service, "/conversations", "c", user_id=user) for user in (1, "1")]
    assert made[0].json() == made[1].json()


async def test_another_request_under_the_key_is_refused(service: Service) -> None:
    """Another body, conversation or path under a key is 422 `idempotency-key-reused`, and makes nothing."""
    one, other = await make(service), await make(service)
    reply = (await keyed(service, messages_of(one), message="Hello")).json()["messages"][1]
    before = await row_counts(service)
    for path, body in (
        (messages_of(one), {"message": "Hello?"}),
        (messages_of(one), {"message": "Hello", "temperature": 1}),
        (messages_of(other), {"message": "Hello"}),
        ("/conversations", {"user_id": "ada", "message": "Hello"}),
        ("/conversations", {"user_id": "ada"}),
        (f"{messages_of(one)}/{reply['message_id']}/regenerate", {}),
    ):
        problem_of(await keyed(service, path, **body), 422, "idempotency-key-reused")
    assert await row_counts(service) == before


async def test_two_users_may_choose_the_same_key(service: Service) -> None:
    """A key is the owner's alone."""
    answers = [await keyed(service, "/conversations", user_id=user, message="Hello") for user in ("ada", "eve")]
    assert [replayed(answer) for answer in answers] == [False, False]
    assert {answer.json()["user_id"] for answer in answers} == {"ada", "eve"}


async def test_a_refused_request_claims_no_key(openai_service: Service, provider: FakeProvider) -> None:
    """What was refused before it made anything may be sent again under its key, mended."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    conversation = await make(openai_service)
    path = messages_of(conversation)
    await openai_service.client.post(path, json={"message": "First", "background": True})
    refusals = [
        await keyed(openai_service, path, message=""),
        await keyed(openai_service, path, message="Hello", provider="nobody"),
        await keyed(openai_service, path, message="Hello", on_busy="reject"),
    ]
    assert [refusal.status_code for refusal in refusals] == [422, 422, 409]
    gate.set()
    await until_ended(openai_service, conversation)
    answer = await keyed(openai_service, path, message="Hello")
    assert (answer.status_code, replayed(answer)) == (201, False)


async def test_a_retry_is_answered_where_a_new_turn_would_be_refused(
    openai_service: Service, provider: FakeProvider
) -> None:
    """The key is looked up before a busy conversation refuses."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    path = messages_of(await make(openai_service))
    asked = {"message": "Hello", "on_busy": "reject"}
    first = asyncio.create_task(keyed(openai_service, path, **asked))
    await provider.wait_calls(1)
    retry = asyncio.create_task(keyed(openai_service, path, **asked))
    gate.set()
    assert [(await post).status_code for post in (first, retry)] == [201, 201]
    assert len(provider.calls) == 1


async def test_a_failed_turn_is_the_key_s_result(openai_service: Service, provider: FakeProvider) -> None:
    """The retry of a turn that failed is told the same failure, and the provider is not asked again."""
    provider.answer(*[server_error(500)] * 3)
    path = messages_of(await make(openai_service))
    first, retry = [await keyed(openai_service, path, message="Hello") for _ in range(2)]
    problems = [problem_of(answer, 502, "provider-error") for answer in (first, retry)]
    assert problems[0]["message_id"] == problems[1]["message_id"]
    assert (replayed(first), replayed(retry), len(provider.calls)) == (False, True, 3)


async def test_a_regeneration_has_a_key_too(openai_service: Service, provider: FakeProvider) -> None:
    """To regenerate twice under one key makes one new reply."""
    reply = (await make(openai_service, message="Hello"))["messages"][1]
    path = f"{messages_of(reply)}/{reply['message_id']}/regenerate"
    first, retry = [await keyed(openai_service, path) for _ in range(2)]
    assert (first.status_code, first.json()) == (201, retry.json())
    assert (replayed(retry), len(provider.calls)) == (True, 2)


async def test_the_key_of_a_deleted_conversation_stays_taken(service: Service) -> None:
    """Once the conversation is deleted the retry is a 404; the key makes no second one."""
    made = (await keyed(service, "/conversations", user_id="ada", message="Hello")).json()
    await service.client.delete(path_of(made))
    retry = await keyed(service, "/conversations", user_id="ada", message="Hello")
    problem_of(retry, 404, "conversation-not-found")


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("x" * 255, 201),
        ("x" * 256, 422),
        ("", 422),
        ("caf\u00e9 '; --", 201),
        ("a\x80b", 201),
        ("a\tb", 201),
        ("a\x01b", 400),
    ],
)
async def test_a_key_has_at_most_255_characters(service: Service, key: str, status: int) -> None:
    """A key is 1 to 255 characters that a header may have: no controls."""
    response = await service.client.post(
        "/conversations", json={"user_id": "ada"}, headers={b"Idempotency-Key": key.encode("latin-1")}
    )
    assert response.status_code == status
