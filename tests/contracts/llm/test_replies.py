"""Replies through every adapter that uses HTTP, on a virtual clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.domain.messages import FinishReason, Usage
from app.errors import ProviderTruncated
from app.llm.router import Completion
from tests.support.provider import FakeProvider
from tests.support.replies import (
    Chunk,
    Cut,
    Data,
    Dialect,
    Thought,
    byte_by_byte,
)
from tests.support.routing import (
    KEY,
    RouterHarness,
    attempts,
    error_of,
    run_with_adapter,
)

TEXT = "Ωμέγα 😀 漢字 é"


def test_plain_reply(name: str) -> None:
    """Text, finish reason and usage are the provider's; one attempt, with the time of its first token."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("One ", "two", usage=(12, 34))
        ending = await complete()
        assert (harness.sink.text, ending) == ("One two", Completion(FinishReason.STOP, Usage(12, 34)))
        assert harness.call is not None
        [attempt] = harness.call.attempts
        assert (attempt.outcome, attempt.status_code, attempt.usage) == ("completed", 200, Usage(12, 34))
        assert attempt.first_token_ms is not None

    run_with_adapter(name, scenario)


def test_reply_byte_by_byte(name: str) -> None:
    """Characters, tags and lines that are split between reads are joined."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply(*TEXT, slices=byte_by_byte, newline="\r\n")
        await complete()
        assert harness.sink.text == TEXT

    run_with_adapter(name, scenario)


def test_unknown_members_are_ignored(name: str) -> None:
    """Events without choices, null and unknown members, and comments do not change the reply."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        odd: list[Any] = [
            Chunk({"choices": []}),
            Chunk({"choices": None}),
            Chunk({"choices": [{"index": 0, "delta": None}]}),
            Chunk({"choices": [{"index": 0, "delta": {"content": None, "role": "assistant"}}]}),
            Chunk({"usage": None, "choices": [{"delta": {"content": ""}}], "x": {"y": []}}),
            Data({"prompt_filter_results": [], "id": ""}),
            b": ping\n\n",
            b"event: message\nid: 7\nretry: 3\n\n",
        ]
        provider.reply(*odd, "One ", *odd, "two", *odd)
        await complete()
        assert harness.sink.text == "One two"

    run_with_adapter(name, scenario)


@pytest.mark.parametrize(
    "usage",
    [
        {"usage": {"prompt_tokens": 5, "completion_tokens": 6}},
        {"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": None}},
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_usage_at_any_place(name: str, usage: dict[str, Any], place: int) -> None:
    """Usage is read from the first event, between texts and from the last event."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        steps: list[Any] = ["One ", "two"]
        provider.reply(*steps[:place], Chunk(usage), *steps[place:], usage=None)
        assert (await complete()).usage == Usage(5, 6)

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("tokens", ["12", -1, 1.5, 2**70, [1]])
def test_invalid_usage_is_estimated(name: str, tokens: Any) -> None:
    """Values that cannot be a number of tokens are ignored."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        provider.reply("Hi", Chunk({"usage": {"prompt_tokens": tokens, "completion_tokens": 1}}), usage=None)
        assert (await complete()).usage.estimated

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("member", ["usage", "x_groq"])
@pytest.mark.parametrize("value", ["12", 12, [1], True])
def test_usage_that_is_no_object_is_ignored(name: str, member: str, value: Any) -> None:
    """Any other value in place of the usage does not fail the reply."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("All ", Chunk({member: value}), "of it", usage=None)
        assert (await complete()).usage.estimated
        assert harness.sink.text == "All of it"

    run_with_adapter(name, scenario)


def counted(text: str, tokens: int, finish: str | None = None) -> Chunk:
    """Build a piece of text with the usage so far, as some servers send it."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return Chunk({"choices": [choice], "usage": {"prompt_tokens": 50, "completion_tokens": tokens}})


@pytest.mark.parametrize(
    ("last", "usage"),
    [
        pytest.param([counted("b", 2)], Usage(50, 2), id="counted"),
        pytest.param(["b"], Usage(6, 1, estimated=True), id="outrun"),
    ],
)
def test_usage_of_truncated_reply(name: str, last: list[Any], usage: Usage) -> None:
    """Usage reported with the last piece counts; if text followed it, usage is estimated."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply(counted("a", 1), *last, finish=None)
        await error_of(complete)
        assert [attempt.usage for attempt in attempts(harness)] == [usage]

    run_with_adapter(name, scenario)


def test_usage_of_stalled_end(name: str) -> None:
    """Usage reported before a stall behind the finish reason counts."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        provider.reply(counted("Hi", 2, "stop"), asyncio.Event())
        assert (await complete()).usage == Usage(50, 2)

    run_with_adapter(name, scenario)


def test_reasoning_is_separate(name: str) -> None:
    """Reasoning, in either field, is no part of the text, and counts as the reply's beginning."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply(Thought("Hm, "), Thought("so."), "Yes.")
        await complete()
        assert (harness.sink.text, harness.sink.reasoning) == ("Yes.", "Hm, so.")
        provider.reply(Thought("Hm"), Cut.RST)
        assert isinstance(await error_of(complete), ProviderTruncated)
        assert len(provider.calls) == 2

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_reasoning_in_tags_is_separate(name: str, one_by_one: bool) -> None:
    """Reasoning within `<think>…</think>` is taken out of the text, however it is split."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        text = "\n<think>\nIs 1 < 2? </thin\n</think>\n\nYes, <think> is a mark."
        provider.reply(*(text if one_by_one else [text]))
        await complete()
        assert harness.sink.text == "Yes, <think> is a mark."
        assert harness.sink.reasoning == "\nIs 1 < 2? </thin\n"

    run_with_adapter(name, scenario)


def test_request_of_each_adapter(name: str) -> None:
    """Each adapter uses its own path and key, requests usage where needed, and no compression."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        await complete()
        [call] = provider.calls
        assert call.dialect is (Dialect.GROQ if name == "groq" else Dialect.OPENAI)
        assert call.headers["authorization"] == f"Bearer {KEY}"
        assert call.headers["accept-encoding"] == "identity"
        assert call.body["stream"] is True
        assert ("stream_options" in call.body) == (name != "groq")

    run_with_adapter(name, scenario)
