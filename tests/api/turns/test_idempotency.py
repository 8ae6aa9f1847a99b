"""`Idempotency-Key`: one turn for one key."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.support.parley_client import ParleyClient, conversation_path, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import server_error
from tests.support.rows import row_counts
from tests.support.service import Service
from tests.support.sse import Event, live_events, parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARALLEL = 20


async def post_with_key(client: ParleyClient, path: str, key: str = "k", **body: Any) -> httpx2.Response:
    """Post a request with a key, and return the answer."""
    return await client.post(path, json=body, headers={"Idempotency-Key": key})


def is_replay(response: httpx2.Response) -> bool:
    """Return whether an answer is marked as a replay."""
    return response.headers.get("idempotency-replayed") == "true"


async def test_parallel_posts_are_one_turn(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Twenty parallel posts with one key create one turn with one provider call, and get the same answer."""
    path = messages_path(await openai_client.create_conversation())
    posts = [post_with_key(openai_client, path, message="Hello") for _ in range(PARALLEL)]
    answers = await asyncio.gather(*posts)
    assert [answer.status_code for answer in answers] == [201] * PARALLEL
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert sum(map(is_replay, answers)) == PARALLEL - 1
    assert (len(await openai_client.get_json(path)), len(provider.calls)) == (2, 1)


async def test_parallel_conversations_are_one(openai_service: Service, provider: FakeProvider) -> None:
    """Parallel creations with one key make one conversation, with and without a first message."""
    for key, body in (("a", {"message": "Hello"}), ("b", {})):
        posts = [
            post_with_key(openai_service.client, "/conversations", key, user_id="ada", **body) for _ in range(PARALLEL)
        ]
        answers = await asyncio.gather(*posts)
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["conversation_id"] for answer in answers}) == 1
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert sum(map(is_replay, answers)) == PARALLEL - 1
    assert len(provider.calls) == 1
    assert (await row_counts(openai_service))["conversations"] == 2


async def test_retry_gets_lost_answer(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A retry after a lost answer returns the answer of the first turn."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    conversation = await openai_client.create_conversation()
    path = messages_path(conversation)
    first = asyncio.create_task(post_with_key(openai_client, path, message="Hello"))
    await openai_client.wait_for_count(conversation, 2)
    first.cancel()
    retry = asyncio.create_task(post_with_key(openai_client, path, message="Hello"))
    gate.set()
    answer = await retry
    assert (answer.status_code, answer.json()["assistant_reply"], is_replay(answer)) == (201, "Half whole", True)
    again = await post_with_key(openai_client, path, message="Hello")
    assert (again.json(), len(provider.calls)) == (answer.json(), 1)


async def test_streaming_retry_attaches(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A retry of a stream that was cut returns all events of the running turn, from the first one on."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    path = messages_path(await openai_client.create_conversation())
    body, headers = {"message": "Hello", "stream": True}, {"Idempotency-Key": "k"}
    first: list[Event] = []
    async with openai_client.http.stream("POST", path, json=body, headers=headers) as response:
        async for event in live_events(response):
            first.append(event)
            if event.name == "message.delta":
                break
    async with openai_client.http.stream("POST", path, json=body, headers=headers) as response:
        assert is_replay(response)
        gate.set()
        retry = [event async for event in live_events(response)]
    assert retry[0] == first[0]
    assert "".join(event.data.get("delta", "") for event in retry) == "Half whole"
    assert (retry[-1].name, len(provider.calls)) == ("message.completed", 1)


async def test_retry_in_another_form(client: ParleyClient) -> None:
    """`stream`, `background` and the notation of values do not matter for a key."""
    path = messages_path(await client.create_conversation())
    first = await post_with_key(client, path, message="Hello")
    streamed = parse_events((await post_with_key(client, path, message="Hello", stream=True)).text)
    assert streamed[-1].data["message"] == first.json()["messages"][1]
    later = await post_with_key(client, path, message="Hello", background=True, on_busy="queue", model=None)
    assert (later.status_code, later.json()["assistant_reply"], is_replay(later)) == (202, "Hello", True)
    made = [await post_with_key(client, "/conversations", "c", user_id=user) for user in (1, "1")]
    assert made[0].json() == made[1].json()


async def test_key_reused_for_other_request(service: Service) -> None:
    """Another body, conversation or path with the same key is `idempotency-key-reused`."""
    one, other = await service.client.create_conversation(), await service.client.create_conversation()
    reply = (await post_with_key(service.client, messages_path(one), message="Hello")).json()["messages"][1]
    before = await row_counts(service)
    for path, body in (
        (messages_path(one), {"message": "Hello?"}),
        (messages_path(one), {"message": "Hello", "temperature": 1}),
        (messages_path(other), {"message": "Hello"}),
        ("/conversations", {"user_id": "ada", "message": "Hello"}),
        ("/conversations", {"user_id": "ada"}),
        (f"{message_path(reply)}/regenerate", {}),
    ):
        expect_problem(await post_with_key(service.client, path, **body), 422, "idempotency-key-reused")
    assert await row_counts(service) == before


async def test_users_share_no_keys(client: ParleyClient) -> None:
    """The same key of two users makes two conversations."""
    answers = [await post_with_key(client, "/conversations", user_id=user, message="Hello") for user in ("ada", "eve")]
    assert [is_replay(answer) for answer in answers] == [False, False]
    assert {answer.json()["user_id"] for answer in answers} == {"ada", "eve"}


async def test_refused_request_claims_no_key(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A request that was refused may be corrected and sent again with its key."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    conversation = await openai_client.create_conversation()
    path = messages_path(conversation)
    await openai_client.post(path, json={"message": "First", "background": True})
    refusals = [
        await post_with_key(openai_client, path, message=""),
        await post_with_key(openai_client, path, message="Hello", provider="nobody"),
        await post_with_key(openai_client, path, message="Hello", on_busy="reject"),
    ]
    assert [refusal.status_code for refusal in refusals] == [422, 422, 409]
    gate.set()
    await openai_client.wait_until_ended(conversation)
    answer = await post_with_key(openai_client, path, message="Hello")
    assert (answer.status_code, is_replay(answer)) == (201, False)


async def test_retry_while_busy_answered(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A retry is answered although a new turn would be refused as busy."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    path = messages_path(await openai_client.create_conversation())
    body = {"message": "Hello", "on_busy": "reject"}
    first = asyncio.create_task(post_with_key(openai_client, path, **body))
    await provider.wait_calls(1)
    retry = asyncio.create_task(post_with_key(openai_client, path, **body))
    gate.set()
    assert [(await post).status_code for post in (first, retry)] == [201, 201]
    assert len(provider.calls) == 1


async def test_failed_turn_replayed(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """The retry of a failed turn returns the same failure without another provider call."""
    provider.answer(*[server_error(500)] * 3)
    path = messages_path(await openai_client.create_conversation())
    first, retry = [await post_with_key(openai_client, path, message="Hello") for _ in range(2)]
    problems = [expect_problem(answer, 502, "provider-error") for answer in (first, retry)]
    assert problems[0]["message_id"] == problems[1]["message_id"]
    assert (is_replay(first), is_replay(retry), len(provider.calls)) == (False, True, 3)


async def test_regeneration_with_key(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Two regenerations with one key make one reply."""
    reply = (await openai_client.create_conversation(message="Hello"))["messages"][1]
    path = f"{message_path(reply)}/regenerate"
    first, retry = [await post_with_key(openai_client, path) for _ in range(2)]
    assert (first.status_code, first.json()) == (201, retry.json())
    assert (is_replay(retry), len(provider.calls)) == (True, 2)


async def test_key_of_deleted_conversation(client: ParleyClient) -> None:
    """The retry for a deleted conversation is a 404 and creates no second one."""
    made = (await post_with_key(client, "/conversations", user_id="ada", message="Hello")).json()
    await client.delete(conversation_path(made))
    retry = await post_with_key(client, "/conversations", user_id="ada", message="Hello")
    expect_problem(retry, 404, "conversation-not-found")


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
async def test_key_length_and_characters(client: ParleyClient, key: str, status: int) -> None:
    """A key has 1 to 255 characters that a header may have, without control characters."""
    response = await client.post(
        "/conversations", json={"user_id": "ada"}, headers={b"Idempotency-Key": key.encode("latin-1")}
    )
    assert response.status_code == status
