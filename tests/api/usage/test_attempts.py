"""The attempts at a reply: which models were called for it, and what each call cost."""

from __future__ import annotations

import pytest

from tests.support.parley_client import UNKNOWN_ID, ParleyClient, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import Cut, Dialect, Reply, rate_limited, server_error
from tests.support.service import provider_settings, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_attempt_fields(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A reply has one attempt with provider, model, outcome, status code, times and usage."""
    provider.reply("Hi", usage=(12, 34))
    conversation = await openai_client.create_conversation(message="Hello")
    [attempt] = await openai_client.get_attempts(conversation["messages"][1])
    assert attempt.pop("total_ms") >= attempt.pop("first_token_ms") >= 0
    assert attempt.pop("started_at") >= conversation["messages"][1]["created_at"]
    assert attempt == {
        "provider": "openai",
        "model": "gpt-5-mini",
        "outcome": "completed",
        "status_code": 200,
        "usage": {"input_tokens": 12, "output_tokens": 34, "estimated": False},
    }


async def test_retries_in_order(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Each call of a provider is one attempt, in order; refused calls have no usage."""
    provider.answer(server_error(503), rate_limited(0), Reply(["Hi"]))
    conversation = await openai_client.create_conversation(message="Hello")
    attempts = await openai_client.get_attempts(conversation["messages"][1])
    assert [(each["outcome"], each["status_code"]) for each in attempts] == [
        ("provider-error", 503),
        ("provider-rate-limited", 429),
        ("completed", 200),
    ]
    assert [each["usage"] is None for each in attempts] == [True, True, False]


async def test_failed_turn_has_attempts(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A turn that failed in the middle of its reply has an estimated usage, in its attempt and in its message."""
    provider.reply("Half of it", Cut.RST)
    conversation = await openai_client.create_conversation()
    problem = expect_problem(await openai_client.post_message(conversation, "Hello"), 502, "provider-truncated")
    reply = await openai_client.get_message(problem)
    [attempt] = await openai_client.get_attempts(reply)
    assert (attempt["outcome"], attempt["status_code"]) == ("provider-truncated", 200)
    assert attempt["usage"] == reply["usage"] == {"input_tokens": 6, "output_tokens": 3, "estimated": True}


async def test_question_has_no_attempts(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A user's message has no attempts; attempts of unknown and of other users' messages are a 404."""
    conversation = await openai_client.create_conversation(message="Hello")
    assert await openai_client.get_attempts(conversation["messages"][0]) == []
    for path, code in (
        (f"{messages_path(conversation)}/{UNKNOWN_ID}/attempts", "message-not-found"),
        (f"/conversations/{UNKNOWN_ID}/messages/{UNKNOWN_ID}/attempts", "conversation-not-found"),
        (f"{message_path(conversation['messages'][1])}/attempts?user_id=bob", "conversation-not-found"),
    ):
        expect_problem(await openai_client.get(path), 404, code)


async def test_fallback_provider_replies(shared_database_url: str, provider: FakeProvider) -> None:
    """The fallback writes the reply when the provider fails, and attempts and usage name both."""
    configured = provider_settings(provider, database_url=shared_database_url, llm_fallbacks="groq:llama, local")
    provider.default = lambda call: Reply(["Hi"]) if call.dialect is Dialect.GROQ else server_error()
    async with serving(configured) as service:
        conversation = await service.client.create_conversation(user_id="eve", message="Hello")
        _, reply = conversation["messages"]
        assert (reply["provider"], reply["model"], reply["content"]) == ("groq", "llama", "Hi")
        assert [each["provider"] for each in await service.client.get_attempts(reply)] == ["openai"] * 3 + ["groq"]
        events = await service.client.stream_all(conversation, "Again")
        assert events[-1].data["message"]["provider"] == "groq"
        rows = await service.client.get_usage(user_id="eve")
        assert [(row["provider"], row["turns"], row["output_tokens"] > 0) for row in rows] == [
            ("groq", 2, True),
            ("openai", 2, False),
        ]
        assert (await service.client.get_conversation(conversation))["provider"] is None
