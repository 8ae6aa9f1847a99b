"""Summaries of the messages that no longer fit into the context window."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.db import summaries
from app.db.summaries import SummaryState
from tests.support.parley_client import message_path
from tests.support.provider import Call, FakeProvider
from tests.support.replies import Answer, Reply, context_too_long, server_error
from tests.support.service import Service, provider_settings, serving, wait_for_writers

pytestmark = pytest.mark.asyncio(loop_scope="module")

WINDOW = 800

LONG = "w" * 300

SUMMARY = "They said w."


def is_summary(call: Call) -> bool:
    """Return whether a call requests a summary."""
    return "keep the notes" in call.body["messages"][0]["content"]


def answer_summaries(answer: Answer) -> Callable[[Call], Answer]:
    """Return a provider's answers: this one for summaries, a long text otherwise."""
    return lambda call: answer if is_summary(call) else Reply(["w" * 100], usage=None)


@contextlib.asynccontextmanager
async def serve_small_window(url: str, provider: FakeProvider, **more: Any) -> AsyncIterator[Service]:
    """Start a service whose model has a small context window."""
    async with serving(provider_settings(provider, database_url=url, llm_context_window=WINDOW, **more)) as service:
        yield service


async def get_summary(service: Service, conversation: dict[str, Any]) -> SummaryState:
    """Return the state of a conversation's summary."""
    found: SummaryState | None = await service.database.read(summaries.summary_state, conversation["conversation_id"])
    assert found is not None
    return found


async def grow_conversation(service: Service, provider: FakeProvider, turns: int = 6) -> dict[str, Any]:
    """Create a conversation that has outgrown the window, and wait for its summaries."""
    conversation = await service.client.create_conversation(user_id="eve", system_prompt="Be kind.")
    for _ in range(turns):
        await service.client.send(conversation, LONG)
        await wait_for_writers(service)
    return conversation


async def test_overflow_summarised(shared_database_url: str, provider: FakeProvider) -> None:
    """A conversation that outgrows the window gets a summary, which is in the prompts from the next turn on."""
    provider.default = answer_summaries(Reply([SUMMARY], usage=(70, 7)))
    async with serve_small_window(shared_database_url, provider) as service:
        conversation = await grow_conversation(service, provider, turns=4)
        state = await get_summary(service, conversation)
        assert state.summary is not None
        assert (state.summary.content, state.summary.last % 2) == (SUMMARY, 0)
        answer = await service.client.send(conversation, "Last")
        system, *rest = provider.calls[-1].body["messages"]
        assert system["content"].startswith("Be kind.")
        assert SUMMARY in system["content"]
        reply = answer["messages"][-1]
        context = await service.client.get_prompt_record(reply)
        assert (context["summary"]["first"], context["summary"]["content"]) == (1, SUMMARY)
        covered = context["summary"]["last"]
        assert context["omitted"] == [{"first": 1, "last": covered, "reason": "summarised"}]
        numbers = [each["sequence_number"] for each in context["messages"]]
        assert numbers == [None, *range(covered + 1, reply["sequence_number"])]
        assert len(rest) == len(numbers) - 1
        usage = await service.client.get_json("/usage", user_id="eve")
        assert sum(row["turns"] for row in usage) >= 5
        assert sum(row["input_tokens"] for row in usage) > 70


async def test_summary_extended(shared_database_url: str, provider: FakeProvider) -> None:
    """The next summary is written from the last one and the messages since."""
    provider.default = answer_summaries(Reply([SUMMARY]))
    async with serve_small_window(shared_database_url, provider) as service:
        conversation = await grow_conversation(service, provider, turns=14)
        prompts = [call.body["messages"][1]["content"] for call in provider.calls if is_summary(call)]
        assert len(prompts) >= 2
        assert "(none)" in prompts[0]
        assert all(SUMMARY in each for each in prompts[1:])
        assert len(prompts) < 12  # each makes room for some turns to come
        state = await get_summary(service, conversation)
        assert state.summary is not None
        assert state.summary.last < 28


async def test_turns_do_not_wait_for_summary(shared_database_url: str, provider: FakeProvider) -> None:
    """All turns go on while a summary is being written, and only one is written at a time."""
    gate = asyncio.Event()
    provider.default = answer_summaries(Reply([gate, SUMMARY]))
    async with serve_small_window(shared_database_url, provider) as service:
        conversation = await service.client.create_conversation(user_id="eve")
        for _ in range(8):
            await service.client.send(conversation, LONG)
        assert sum(map(is_summary, provider.calls)) == 1
        gate.set()
        await wait_for_writers(service)
        assert (await get_summary(service, conversation)).summary is not None


@pytest.mark.parametrize("change", ["edit", "delete"])
async def test_summary_dropped_after_change(shared_database_url: str, provider: FakeProvider, change: str) -> None:
    """A summary is dropped when a message that it covers is edited or deleted."""
    provider.default = answer_summaries(Reply([SUMMARY]))
    async with serve_small_window(shared_database_url, provider) as service:
        conversation = await grow_conversation(service, provider)
        first = (await service.client.get_messages(conversation, limit=1))[0]
        path = message_path(first)
        last = (await service.client.send(conversation, "Before"))["messages"][-1]
        await (service.client.put(path, json={"content": "v"}) if change == "edit" else service.client.delete(path))
        assert (await get_summary(service, conversation)).summary is None
        await service.client.send(conversation, "After")
        turn = next(call for call in reversed(provider.calls) if not is_summary(call))
        assert SUMMARY not in str(turn.body)
        context = await service.client.get_prompt_record(last)
        assert context["summary"]["content"] is None
        await wait_for_writers(service)


async def test_summary_dropped_after_supersession(shared_database_url: str, provider: FakeProvider) -> None:
    """A regeneration uses no summary of its own question; with text it drops that summary."""
    written = itertools.count(1)
    provider.default = lambda call: Reply([f"Notes {next(written)}." if is_summary(call) else "w" * 100], usage=None)
    async with serve_small_window(shared_database_url, provider) as service:
        conversation = await grow_conversation(service, provider)
        summary = (await get_summary(service, conversation)).summary
        assert summary is not None
        messages = await service.client.get_messages(conversation)
        for each in messages[summary.last :]:
            await service.client.delete(message_path(each))
        reply = messages[summary.last - 1]
        path = f"{message_path(reply)}/regenerate"
        provider.answer(context_too_long(), context_too_long())
        assert (await service.client.post(path, json={})).status_code == 422
        assert (await get_summary(service, conversation)).summary == summary
        revision = (await get_summary(service, conversation)).revision
        assert (await service.client.post(path, json={})).status_code == 201
        turn = next(call for call in reversed(provider.calls) if not is_summary(call))
        assert turn.body["messages"][-1]["content"] == messages[summary.last - 2]["content"]
        assert summary.content not in str(turn.body)
        await wait_for_writers(service)
        assert (await get_summary(service, conversation)).revision > revision
        assert await service.database.read(summaries.summary_by_id, summary.summary_id) is None


async def test_summary_kept_after_later_change(shared_database_url: str, provider: FakeProvider) -> None:
    """An edit of a message that the summary does not cover leaves it."""
    provider.default = answer_summaries(Reply([SUMMARY]))
    async with serve_small_window(shared_database_url, provider) as service:
        conversation = await grow_conversation(service, provider)
        question = (await service.client.get_messages(conversation, order="desc", limit=2))[1]
        await service.client.put(message_path(question), json={"content": "v"})
        assert (await get_summary(service, conversation)).summary is not None


async def test_stale_summary_not_stored(shared_database_url: str, provider: FakeProvider) -> None:
    """A summary is not stored when one of its messages was deleted meanwhile."""
    gate = asyncio.Event()
    provider.default = answer_summaries(Reply([gate, SUMMARY]))
    async with serve_small_window(shared_database_url, provider) as service:
        conversation = await service.client.create_conversation(user_id="eve")
        while not any(map(is_summary, provider.calls)):
            await service.client.send(conversation, LONG)
            await asyncio.sleep(0)
        first = (await service.client.get_messages(conversation, limit=1))[0]
        await service.client.delete(message_path(first))
        gate.set()
        await wait_for_writers(service)
        assert (await get_summary(service, conversation)).summary is None


async def test_failed_summary_harmless(shared_database_url: str, provider: FakeProvider) -> None:
    """Without a summary the prompts have the newest messages, as before."""
    provider.default = answer_summaries(server_error())
    async with serve_small_window(shared_database_url, provider) as service:
        conversation = await grow_conversation(service, provider, turns=5)
        assert (await get_summary(service, conversation)).summary is None
        assert (await service.client.get_conversation(conversation))["message_count"] == 10


async def test_summaries_disabled(shared_database_url: str, provider: FakeProvider) -> None:
    """With SUMMARIES=false no summary is written."""
    provider.default = answer_summaries(Reply([SUMMARY]))
    async with serve_small_window(shared_database_url, provider, summaries=False) as service:
        await grow_conversation(service, provider, turns=5)
        assert not any(map(is_summary, provider.calls))
