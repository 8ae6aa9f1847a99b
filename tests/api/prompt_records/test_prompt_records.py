"""Prompt records: what was sent to the model for a reply, and what was left out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.db import turns
from tests.support.parley_client import UNKNOWN_ID, ParleyClient, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import Reply, Thought, context_too_long, server_error
from tests.support.service import Service, provider_settings, serving, wait_for_writers

pytestmark = pytest.mark.asyncio(loop_scope="module")


def numbered_roles(context: dict[str, Any]) -> list[tuple[int | None, str]]:
    """Return the messages of a record as pairs of number and role."""
    return [(each["sequence_number"], each["role"]) for each in context["messages"]]


async def test_record_lists_messages(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A record lists system prompt, earlier messages and question, with tokens that add up to the estimate."""
    conversation = await openai_client.create_conversation(system_prompt="Be brief.", message="One")
    reply = (await openai_client.send(conversation, "Two"))["messages"][-1]
    context = await openai_client.get_prompt_record(reply)
    assert (context["provider"], context["model"]) == ("openai", "gpt-5-mini")
    assert numbered_roles(context) == [(None, "system"), (1, "user"), (2, "assistant"), (3, "user")]
    assert [message["role"] for message in provider.calls[1].body["messages"]] == [
        role for _, role in numbered_roles(context)
    ]
    assert abs(sum(each["tokens"] for each in context["messages"]) - context["estimated_tokens"]) <= 2
    assert (context["summary"], context["citations"], context["queries"]) == (None, [], [])
    assert (context["retrieval"], context["omitted"]) == ({"status": "skipped"}, [])


async def test_record_lists_omissions(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A record lists turns without a reply, deleted halves and superseded replies, with their reasons."""
    conversation = await openai_client.create_conversation(message="One")  # 1, 2
    provider.answer(*[server_error()] * 3)
    await openai_client.post_message(conversation, "Two")  # 3, 4
    third = (await openai_client.send(conversation, "Three"))["messages"]  # 5, 6
    again = await openai_client.post(f"{message_path(third[-1])}/regenerate", json={})  # 7
    fourth = (await openai_client.send(conversation, "Four"))["messages"]  # 8, 9
    await openai_client.delete(message_path(fourth[-2]))
    last = (await openai_client.send(conversation, "Five"))["messages"][-1]  # 10, 11
    context = await openai_client.get_prompt_record(last)
    assert numbered_roles(context) == [(1, "user"), (2, "assistant"), (5, "user"), (7, "assistant"), (10, "user")]
    assert [(each["first"], each["last"], each["reason"]) for each in context["omitted"]] == [
        (3, 4, "no-reply"),
        (6, 6, "superseded"),
        (8, 8, "deleted"),
        (9, 9, "half-deleted"),
    ]
    regenerated = await openai_client.get_prompt_record(again.json()["messages"][-1])
    assert numbered_roles(regenerated) == [(1, "user"), (2, "assistant"), (5, "user")]
    assert [(each["first"], each["last"], each["reason"]) for each in regenerated["omitted"]] == [
        (3, 4, "no-reply"),
        (6, 6, "superseded"),
    ]


async def test_failed_regeneration_omitted(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """After failed regenerations later prompts have the old reply; the regenerations themselves did not."""
    conversation = await openai_client.create_conversation(message="One")  # 1, 2
    path = f"{message_path(conversation['messages'][1])}/regenerate"
    provider.answer(context_too_long(), Reply(["\u2003\n"]))
    for _ in range(2):
        await openai_client.post(path, json={})  # 3, 4
    last = (await openai_client.send(conversation, "Two"))["messages"]  # 5, 6
    assert [each["superseded_by"] for each in last] == [None] * 6
    context = await openai_client.get_prompt_record(last[-1])
    assert numbered_roles(context) == [(1, "user"), (2, "assistant"), (5, "user")]
    assert [(each["first"], each["last"], each["reason"]) for each in context["omitted"]] == [(3, 4, "no-reply")]
    context = await openai_client.get_prompt_record(last[3])
    assert numbered_roles(context) == [(1, "user")]
    assert [(each["first"], each["last"], each["reason"]) for each in context["omitted"]] == [(2, 3, "superseded")]


async def test_overflow_omitted_as_range(shared_database_url: str, provider: FakeProvider) -> None:
    """Messages that do not fit into the window are one range with the reason `window`."""
    configured = provider_settings(provider, database_url=shared_database_url, llm_context_window=400, summaries=False)
    async with serving(configured) as service:
        provider.default = Reply(["w" * 150], usage=None)
        conversation = await service.client.create_conversation(user_id="eve")
        for _ in range(4):
            await service.client.send(conversation, "w" * 150)
        reply = (await service.client.send(conversation, "Last"))["messages"][-1]
        context = await service.client.get_prompt_record(reply)
        assert numbered_roles(context) == [(5, "user"), (6, "assistant"), (7, "user"), (8, "assistant"), (9, "user")]
        assert context["omitted"] == [{"first": 1, "last": 4, "reason": "window"}]
        assert context["estimated_tokens"] <= 200


async def test_oldest_history_omitted_by_turns(
    openai_service: Service, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn of which only half is within the history that is read is omitted as a whole."""
    monkeypatch.setattr(turns, "MAX_HISTORY", 6)
    conversation = await openai_service.client.create_conversation()
    for _ in range(4):
        await openai_service.client.send(conversation, "Hello")
    reply = (await openai_service.client.send(conversation, "Last"))["messages"][-1]
    context = await openai_service.client.get_prompt_record(reply)
    assert numbered_roles(context) == [(5, "user"), (6, "assistant"), (7, "user"), (8, "assistant"), (9, "user")]
    assert context["omitted"] == [{"first": 1, "last": 4, "reason": "window"}]
    await wait_for_writers(openai_service)


async def test_oversized_message_refused(shared_database_url: str, provider: FakeProvider) -> None:
    """A message that leaves the model no room is `message-too-long`, and nothing of it is stored."""
    configured = provider_settings(provider, database_url=shared_database_url, llm_context_window=400)
    async with serving(configured) as service:
        conversation = await service.client.create_conversation(user_id="fay")
        problem = expect_problem(await service.client.post_message(conversation, "w" * 1_000), 422, "message-too-long")
        assert "tokens" in problem["detail"]
        first = {"user_id": "fay", "message": "w" * 1_000}
        expect_problem(await service.client.post("/conversations", json=first), 422, "message-too-long")
        assert (await service.client.get_messages(conversation), provider.calls) == ([], [])
        assert len(await service.client.get_json("/conversations", user_id="fay")) == 1


async def test_tokens_follow_the_script(shared_database_url: str, provider: FakeProvider) -> None:
    """A Chinese message counts more tokens: one is refused, and one that fits is shown with its count."""
    configured = provider_settings(provider, database_url=shared_database_url, llm_context_window=400)
    async with serving(configured) as service:
        conversation = await service.client.create_conversation(user_id="gus")
        expect_problem(await service.client.post_message(conversation, "\u4e2d" * 250), 422, "message-too-long")
        reply = (await service.client.send(conversation, "\u4e2d" * 150))["messages"][-1]
        context = await service.client.get_prompt_record(reply)
        assert [each["tokens"] for each in context["messages"]] == [154]
        assert context["estimated_tokens"] == 154


async def test_unsent_reply_has_empty_record(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A turn that was cancelled while queued has an empty record, and a question has none."""
    provider.reply("Half", asyncio.Event())
    conversation = await openai_client.create_conversation()
    running = await openai_client.post_message(conversation, "One", background=True)
    waiting = await openai_client.post_message(conversation, "Two", background=True)
    for each in (waiting, running):
        await openai_client.post(f"{each.headers['location']}/cancel")
    await openai_client.wait_until_ended(conversation)
    context = await openai_client.get_json(f"{waiting.headers['location']}/context")
    assert (context["messages"], context["estimated_tokens"], context["omitted"]) == ([], 0, [])
    question = running.json()["messages"][0]
    refused = await openai_client.get(f"{message_path(question)}/context")
    expect_problem(refused, 422, "validation-error")
    missing = await openai_client.get(f"{messages_path(conversation)}/{UNKNOWN_ID}/context")
    expect_problem(missing, 404, "message-not-found")
    strange = await openai_client.get(f"{running.headers['location']}/context", params={"user_id": "bob"})
    expect_problem(strange, 404, "conversation-not-found")


async def test_reasoning_on_request(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Reasoning is returned only with `include=reasoning`, never as content, and is in no later prompt."""
    provider.reply(Thought("Hm, "), Thought("so."), "Yes.")
    conversation = await openai_client.create_conversation()
    shown = await openai_client.post(
        messages_path(conversation), params={"include": "reasoning"}, json={"message": "Hello"}
    )
    question, reply = shown.json()["messages"]
    assert (question["reasoning"], reply["reasoning"], reply["content"]) == (None, "Hm, so.", "Yes.")
    path = message_path(reply)
    assert "reasoning" not in await openai_client.get_json(path)
    assert (await openai_client.get_json(path, include="reasoning"))["reasoning"] == "Hm, so."
    listed = await openai_client.get_messages(conversation, include="reasoning")
    assert [each["reasoning"] for each in listed] == [None, "Hm, so."]
    assert all("reasoning" not in each for each in await openai_client.get_messages(conversation))
    await openai_client.send(conversation, "And?")
    assert "Hm" not in str(provider.calls[1].body)
    expect_problem(await openai_client.get(path, params={"include": "all"}), 422, "validation-error")
    await openai_client.delete(path)
    listed = await openai_client.get_messages(conversation, include="reasoning")
    assert "Hm, so." not in str(listed)


async def test_think_tags_become_reasoning(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Text between `<think>` tags is neither streamed nor stored as content, but kept as reasoning."""
    provider.reply("<th", "ink>Is it", " so?</think>", "\n\nIt ", "is.")
    conversation = await openai_client.create_conversation()
    response = await openai_client.post_message(conversation, "Hello", stream=True)
    assert "so?" not in response.text
    [_, reply] = await openai_client.get_messages(conversation, include="reasoning")
    assert (reply["content"], reply["reasoning"]) == ("It is.", "Is it so?")
