"""What every adapter that goes over HTTP makes of a reply, by a clock that waits for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.messages import FinishReason, Usage
from app.errors import (
    ProviderTruncated,
)
from app.llm.router import Ending
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
    Asked,
    asked,
    failing,
)

TEXT = "Ωμέγα 😀 漢字 é"


def test_a_reply_is_what_was_sent(name: str) -> None:
    """Text, finish reason and usage of a plain reply are the provider's; one call, with its first token timed."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("One ", "two", usage=(12, 34))
        ending = await ask()
        assert (router.heard.text, ending) == ("One two", Ending(FinishReason.STOP, Usage(12, 34)))
        assert router.call is not None
        [attempt] = router.call.attempts
        assert (attempt.outcome, attempt.status_code, attempt.usage) == ("completed", 200, Usage(12, 34))
        assert attempt.first_token_ms is not None

    asked(name, scenario)


def test_bytes_may_come_one_by_one(name: str) -> None:
    """Split characters, marks and lines are put together again."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply(*TEXT, slices=byte_by_byte, newline="\r\n")
        await ask()
        assert router.heard.text == TEXT

    asked(name, scenario)


def test_empty_choices_and_strange_members_are_passed_over(name: str) -> None:
    """Events without choices, with null for members and unknown ones, and comments, take nothing from the reply."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
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
        await ask()
        assert router.heard.text == "One two"

    asked(name, scenario)


@pytest.mark.parametrize(
    "usage",
    [
        {"usage": {"prompt_tokens": 5, "completion_tokens": 6}},
        {"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": None}},
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_usage_may_come_anywhere(name: str, usage: dict[str, Any], place: int) -> None:
    """Usage counts in the first event, amid the text and in the last one."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        steps: list[Any] = ["One ", "two"]
        provider.reply(*steps[:place], Chunk(usage), *steps[place:], usage=None)
        assert (await ask()).usage == Usage(5, 6)

    asked(name, scenario)


@pytest.mark.parametrize("tokens", ["12", -1, 1.5, 2**70, [1]])
def test_usage_that_is_no_count_is_estimated(name: str, tokens: Any) -> None:
    """What cannot be a number of tokens is passed over."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        provider.reply("Hi", Chunk({"usage": {"prompt_tokens": tokens, "completion_tokens": 1}}), usage=None)
        assert (await ask()).usage.estimated

    asked(name, scenario)


def test_thinking_is_kept_apart(name: str) -> None:
    """A reasoning model's thinking, in either field, is no part of the text; it counts as the reply's beginning."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply(Thought("Hm, "), Thought("so."), "Yes.")
        await ask()
        assert (router.heard.text, router.heard.reasoning) == ("Yes.", "Hm, so.")
        provider.reply(Thought("Hm"), Cut.RST)
        assert isinstance(await failing(ask), ProviderTruncated)
        assert len(provider.calls) == 2

    asked(name, scenario)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_thinking_between_marks_is_kept_apart(name: str, one_by_one: bool) -> None:
    """Thinking that a server leaves in the text, `<think>…</think>`, is taken out however it is split."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        text = "\n<think>\nIs 1 < 2? </thin\n</think>\n\nYes, <think> is a mark."
        provider.reply(*(text if one_by_one else [text]))
        await ask()
        assert router.heard.text == "Yes, <think> is a mark."
        assert router.heard.reasoning == "\nIs 1 < 2? </thin\n"

    asked(name, scenario)


def test_the_wire_is_each_provider_s_own(name: str) -> None:
    """Each adapter asks at its own path, with its key, for usage where that is needed, and for no compression."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        await ask()
        [call] = provider.calls
        assert call.dialect is (Dialect.GROQ if name == "groq" else Dialect.OPENAI)
        assert call.headers["authorization"] == f"Bearer {KEY}"
        assert call.headers["accept-encoding"] == "identity"
        assert call.body["stream"] is True
        assert ("stream_options" in call.body) == (name != "groq")

    asked(name, scenario)
