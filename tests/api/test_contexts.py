"""What models were told for replies, and what they were not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.db import turns
from tests.api.talk import UNKNOWN_ID, got, make, messages_of, problem_of, say, told, until_ended
from tests.support.provider import FakeProvider
from tests.support.replies import Reply, Thought, context_too_long, server_error
from tests.support.service import Service, asking, quiet, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def context_of(service: Service, reply: dict[str, Any]) -> dict[str, Any]:
    """What was sent for a reply."""
    found: dict[str, Any] = await got(service, f"{messages_of(reply)}/{reply['message_id']}/context")
    return found


def sent(context: dict[str, Any]) -> list[tuple[int | None, str]]:
    """The messages of a context, as number and role."""
    return [(each["sequence_number"], each["role"]) for each in context["messages"]]


async def test_what_was_sent_is_shown(openai_service: Service, provider: FakeProvider) -> None:
    """System prompt, earlier messages and question are listed by number, with tokens that add up to the estimate."""
    made = await make(openai_service, system_prompt="Be brief.", message="One")
    reply = (await told(openai_service, made, "Two"))["messages"][-1]
    context = await context_of(openai_service, reply)
    assert (context["provider"], context["model"]) == ("openai", "gpt-5-mini")
    assert sent(context) == [(None, "system"), (1, "user"), (2, "assistant"), (3, "user")]
    assert [message["role"] for message in provider.calls[1].body["messages"]] == [role for _, role in sent(context)]
    assert abs(sum(each["tokens"] for each in context["messages"]) - context["estimated_tokens"]) <= 2
    assert (context["summary"], context["citations"], context["queries"]) == (None, [], [])
    assert (context["retrieval"], context["omitted"]) == ({"status": "skipped"}, [])


async def test_what_was_left_out_is_shown_with_why(openai_service: Service, provider: FakeProvider) -> None:
    """Turns without a reply, deleted halves and superseded replies are named with their reasons."""
    made = await make(openai_service, message="One")  # 1, 2
    provider.answer(*[server_error()] * 3)
    await say(openai_service, made, "Two")  # 3, 4
    third = (await told(openai_service, made, "Three"))["messages"]  # 5, 6
    again = await openai_service.client.post(f"{messages_of(made)}/{third[-1]['message_id']}/regenerate", json={})  # 7
    fourth = (await told(openai_service, made, "Four"))["messages"]  # 8, 9
    await openai_service.client.delete(f"{messages_of(made)}/{fourth[-2]['message_id']}")
    last = (await told(openai_service, made, "Five"))["messages"][-1]  # 10, 11
    context = await context_of(openai_service, last)
    assert sent(context) == [(1, "user"), (2, "assistant"), (5, "user"), (7, "assistant"), (10, "user")]
    assert [(each["first"], each["last"], each["reason"]) for each in context["omitted"]] == [
        (3, 4, "no-reply"),
        (6, 6, "superseded"),
        (8, 8, "deleted"),
        (9, 9, "half-deleted"),
    ]
    regenerated = await context_of(openai_service, again.json()["messages"][-1])
    assert sent(regenerated) == [(1, "user"), (2, "assistant"), (5, "user")]
    assert [(each["first"], each["last"], each["reason"]) for each in regenerated["omitted"]] == [
        (3, 4, "no-reply"),
        (6, 6, "superseded"),
    ]


async def test_a_reply_that_failed_to_supersede_leaves_the_old_one(
    openai_service: Service, provider: FakeProvider
) -> None:
    """The turn that comes after it is told the old reply; it itself was not, since that was to be superseded."""
    made = await make(openai_service, message="One")  # 1, 2
    path = f"{messages_of(made)}/{made['messages'][1]['message_id']}/regenerate"
    provider.answer(context_too_long(), Reply(["\u2003\n"]))
    for _ in range(2):
        await openai_service.client.post(path, json={})  # 3, 4
    last = (await told(openai_service, made, "Two"))["messages"]  # 5, 6
    assert [each["superseded_by"] for each in last] == [None] * 6
    context = await context_of(openai_service, last[-1])
    assert sent(context) == [(1, "user"), (2, "assistant"), (5, "user")]
    assert [(each["first"], each["last"], each["reason"]) for each in context["omitted"]] == [(3, 4, "no-reply")]
    context = await context_of(openai_service, last[3])
    assert sent(context) == [(1, "user")]
    assert [(each["first"], each["last"], each["reason"]) for each in context["omitted"]] == [(2, 3, "superseded")]


async def test_what_did_not_fit_is_shown(shared_database_url: str, provider: FakeProvider) -> None:
    """Messages that the window has no room for are one range, with the window as the reason."""
    configured = asking(provider, database_url=shared_database_url, llm_context_window=400, summaries=False)
    async with serving(configured) as service:
        provider.default = Reply(["w" * 150], usage=None)
        made = await make(service, user_id="eve")
        for _ in range(4):
            await told(service, made, "w" * 150)
        reply = (await told(service, made, "Last"))["messages"][-1]
        context = await context_of(service, reply)
        assert sent(context) == [(5, "user"), (6, "assistant"), (7, "user"), (8, "assistant"), (9, "user")]
        assert context["omitted"] == [{"first": 1, "last": 4, "reason": "window"}]
        assert context["estimated_tokens"] <= 200


async def test_what_is_too_far_back_is_shown_by_whole_turns(
    openai_service: Service, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a conversation longer than what is looked at, the oldest turn that was read by half is beyond the window."""
    monkeypatch.setattr(turns, "MAX_HISTORY", 6)
    made = await make(openai_service)
    for _ in range(4):
        await told(openai_service, made, "Hello")
    context = await context_of(openai_service, (await told(openai_service, made, "Last"))["messages"][-1])
    assert sent(context) == [(5, "user"), (6, "assistant"), (7, "user"), (8, "assistant"), (9, "user")]
    assert context["omitted"] == [{"first": 1, "last": 4, "reason": "window"}]
    await quiet(openai_service)


async def test_a_message_that_does_not_fit_is_refused_unstored(
    shared_database_url: str, provider: FakeProvider
) -> None:
    """A message that leaves the model no room is `message-too-long`, and nothing of it is stored."""
    configured = asking(provider, database_url=shared_database_url, llm_context_window=400)
    async with serving(configured) as service:
        made = await make(service, user_id="fay")
        problem = problem_of(await say(service, made, "w" * 1_000), 422, "message-too-long")
        assert "tokens" in problem["detail"]
        first = {"user_id": "fay", "message": "w" * 1_000}
        problem_of(await service.client.post("/conversations", json=first), 422, "message-too-long")
        assert (await got(service, messages_of(made)), provider.calls) == ([], [])
        assert len(await got(service, "/conversations", user_id="fay")) == 1


async def test_a_message_takes_what_its_script_takes(shared_database_url: str, provider: FakeProvider) -> None:
    """A Chinese message that would overrun the window is refused, and one that fits is shown with its tokens."""
    configured = asking(provider, database_url=shared_database_url, llm_context_window=400)
    async with serving(configured) as service:
        made = await make(service, user_id="gus")
        problem_of(await say(service, made, "\u4e2d" * 250), 422, "message-too-long")
        reply = (await told(service, made, "\u4e2d" * 150))["messages"][-1]
        context = await context_of(service, reply)
        assert [each["tokens"] for each in context["messages"]] == [154]
        assert context["estimated_tokens"] == 154


async def test_a_reply_that_nobody_was_asked_for_has_an_empty_context(
    openai_service: Service, provider: FakeProvider
) -> None:
    """A turn that was cancelled while it waited has told nobody anything; a question has no context."""
    provider.reply("Half", asyncio.Event())
    made = await make(openai_service)
    running = await say(openai_service, made, "One", background=True)
    waiting = await say(openai_service, made, "Two", background=True)
    for each in (waiting, running):
        await openai_service.client.post(f"{each.headers['location']}/cancel")
    await until_ended(openai_service, made)
    context = await got(openai_service, f"{waiting.headers['location']}/context")
    assert (context["messages"], context["estimated_tokens"], context["omitted"]) == ([], 0, [])
    question = running.json()["messages"][0]
    refused = await openai_service.client.get(f"{messages_of(made)}/{question['message_id']}/context")
    problem_of(refused, 422, "validation-error")
    missing = await openai_service.client.get(f"{messages_of(made)}/{UNKNOWN_ID}/context")
    problem_of(missing, 404, "message-not-found")
    strange = await openai_service.client.get(f"{running.headers['location']}/context", params={"user_id": "bob"})
    problem_of(strange, 404, "conversation-not-found")


async def test_reasoning_is_shown_to_who_asks(openai_service: Service, provider: FakeProvider) -> None:
    """Thinking is in no answer, unless it is asked for; it never is in the content, and is told to no later turn."""
    provider.reply(Thought("Hm, "), Thought("so."), "Yes.")
    made = await make(openai_service)
    shown = await openai_service.client.post(
        messages_of(made), params={"include": "reasoning"}, json={"message": "Hello"}
    )
    question, reply = shown.json()["messages"]
    assert (question["reasoning"], reply["reasoning"], reply["content"]) == (None, "Hm, so.", "Yes.")
    path = f"{messages_of(made)}/{reply['message_id']}"
    assert "reasoning" not in await got(openai_service, path)
    assert (await got(openai_service, path, include="reasoning"))["reasoning"] == "Hm, so."
    listed = await got(openai_service, messages_of(made), include="reasoning")
    assert [each["reasoning"] for each in listed] == [None, "Hm, so."]
    assert all("reasoning" not in each for each in await got(openai_service, messages_of(made)))
    await told(openai_service, made, "And?")
    assert "Hm" not in str(provider.calls[1].body)
    problem_of(await openai_service.client.get(path, params={"include": "all"}), 422, "validation-error")
    await openai_service.client.delete(path)
    listed = await got(openai_service, messages_of(made), include="reasoning")
    assert "Hm, so." not in str(listed)


async def test_thinking_in_the_text_reaches_no_reader(openai_service: Service, provider: FakeProvider) -> None:
    """What a server leaves between `<think>` marks is neither streamed nor stored as text, and not lost."""
    provider.reply("<th", "ink>Is it", " so?</think>", "\n\nIt ", "is.")
    made = await make(openai_service)
    response = await say(openai_service, made, "Hello", stream=True)
    assert "so?" not in response.text
    [_, reply] = await got(openai_service, messages_of(made), include="reasoning")
    assert (reply["content"], reply["reasoning"]) == ("It is.", "Is it so?")
