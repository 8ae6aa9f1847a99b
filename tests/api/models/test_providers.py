"""Requests to providers, and the outcome of their answers and failures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient, conversation_path, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import (
    Answer,
    Cut,
    Dialect,
    Reply,
    context_too_long,
    rate_limited,
    server_error,
    stream_error,
    unauthorized,
)
from tests.support.service import serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILURES = [
    pytest.param(unauthorized(), 502, "provider-auth", id="401"),
    pytest.param(rate_limited(600), 503, "provider-rate-limited", id="429"),
    pytest.param(server_error(), 502, "provider-error", id="500"),
    pytest.param(server_error(503), 502, "provider-error", id="503"),
    pytest.param(context_too_long(), 422, "context-too-long", id="400-context"),
    pytest.param(Reply([], before_headers=Cut.RST), 503, "provider-unavailable", id="reset"),
    pytest.param(Reply(["Half a "], finish=None), 502, "provider-truncated", id="no-finish-reason"),
    pytest.param(Reply(["Half a ", Cut.FIN]), 502, "provider-truncated", id="cut"),
    pytest.param(Reply(["Half a ", stream_error("no more")]), 502, "provider-error", id="error-in-stream"),
]

TRIES = 3
"""The calls of a provider that fails before it begins its reply."""


def prompts(provider: FakeProvider) -> list[list[tuple[str, str]]]:
    """Return the messages of each call as pairs of role and text."""
    return [[(each["role"], each["content"]) for each in call.body["messages"]] for call in provider.calls]


async def test_prompt_order(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A prompt is the system prompt, then the earlier turns, then the question."""
    conversation = await openai_client.create_conversation(system_prompt="Be brief.", message="One")
    await openai_client.send(conversation, "Two")
    system, first = ("system", "Be brief."), [("user", "One"), ("assistant", "Echo: One")]
    assert prompts(provider) == [[system, ("user", "One")], [system, *first, ("user", "Two")]]


async def test_system_prompt_is_current(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A prompt has the system prompt of the moment, or none."""
    conversation = await openai_client.create_conversation(message="One")
    for system_prompt in ("Be kind.", None):
        await openai_client.patch(conversation_path(conversation), json={"system_prompt": system_prompt})
        await openai_client.send(conversation, "Two")
    assert [prompt[0] for prompt in prompts(provider)] == [("user", "One"), ("system", "Be kind."), ("user", "One")]


async def test_edit_reaches_next_prompt(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """After an edit the next prompt has the new text."""
    conversation = await openai_client.create_conversation(message="One")
    path = message_path(conversation["messages"][0])
    await openai_client.put(path, json={"content": "Eins"})
    await openai_client.send(conversation, "Two")
    assert prompts(provider)[1] == [("user", "Eins"), ("assistant", "Echo: One"), ("user", "Two")]


@pytest.mark.parametrize("half", [0, 1])
async def test_deleted_half_leaves_prompt(openai_client: ParleyClient, provider: FakeProvider, half: int) -> None:
    """A deleted message and the other half of its turn are in no later prompt."""
    conversation = await openai_client.create_conversation(message="Secret")
    await openai_client.send(conversation, "Two")
    await openai_client.delete(message_path(conversation["messages"][half]))
    await openai_client.send(conversation, "Three")
    assert prompts(provider)[2] == [("user", "Two"), ("assistant", "Echo: Two"), ("user", "Three")]


async def test_failed_turn_leaves_prompt(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A turn that failed before its first token is in no later prompt."""
    conversation = await openai_client.create_conversation(message="One")
    provider.answer(*[server_error()] * TRIES)
    await openai_client.post_message(conversation, "Two")
    await openai_client.send(conversation, "Three")
    assert prompts(provider)[-1] == [("user", "One"), ("assistant", "Echo: One"), ("user", "Three")]


async def test_sampling_of_turn_sent(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Model, temperature and max_tokens of a turn are sent, and the model is stored with the reply."""
    conversation = await openai_client.create_conversation()
    sampling = {"model": "gpt-x", "temperature": 0.25, "max_tokens": 321}
    answer = await openai_client.send(conversation, "Hello", **sampling)
    body = provider.calls[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt-x", 0.25, 321)
    assert (answer["messages"][1]["provider"], answer["messages"][1]["model"]) == ("openai", "gpt-x")


async def test_sampling_of_conversation_sent(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A conversation's sampling settings are sent with each turn that has no others."""
    conversation = await openai_client.create_conversation(model="gpt-x", temperature=1.5, max_tokens=9, message="One")
    await openai_client.send(conversation, "Two", temperature=0)
    sent = [(each.body["model"], each.body["temperature"], each.body["max_tokens"]) for each in provider.calls]
    assert sent == [("gpt-x", 1.5, 9), ("gpt-x", 0, 9)]


async def test_unset_sampling_not_sent(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Without settings the provider's defaults apply, with its default model."""
    await openai_client.create_conversation(message="Hello")
    body = provider.calls[0].body
    assert body["model"] == "gpt-5-mini"
    assert not {"temperature", "max_tokens", "max_completion_tokens"} & body.keys()


async def test_turn_names_groq(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A turn may name another provider, whose default model replies; the next turn goes back."""
    conversation = await openai_client.create_conversation(model="gpt-x")
    named = await openai_client.send(conversation, "One", provider="groq", max_tokens=5)
    after = await openai_client.send(conversation, "Two")
    assert [call.dialect for call in provider.calls] == [Dialect.GROQ, Dialect.OPENAI]
    assert provider.calls[0].body["max_completion_tokens"] == 5
    authors = [(each["messages"][-1]["provider"], each["messages"][-1]["model"]) for each in (named, after)]
    assert authors == [("groq", "openai/gpt-oss-120b"), ("openai", "gpt-x")]


async def test_conversation_names_groq(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A conversation that names groq and a model is answered by them."""
    conversation = await openai_client.create_conversation(provider="groq", model="llama-x", message="One")
    assert (conversation["provider"], conversation["model"], conversation["assistant_reply"]) == (
        "groq",
        "llama-x",
        "Echo: One",
    )
    assert (provider.calls[0].dialect, provider.calls[0].body["model"]) == (Dialect.GROQ, "llama-x")


async def test_usage_of_provider_stored(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """The provider's token counts are stored; without them usage is estimated."""
    provider.reply("Hi", usage=(12, 34))
    provider.reply("Hi", usage=None)
    conversation = await openai_client.create_conversation(message="Hello you")
    counted = (await openai_client.send(conversation, "Again"))["messages"]
    assert counted[1]["usage"] == {"input_tokens": 12, "output_tokens": 34, "estimated": False}
    assert counted[3]["usage"]["estimated"] is True


@pytest.mark.parametrize(
    ("theirs", "ours"), [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter")]
)
async def test_finish_reason_stored(
    openai_client: ParleyClient, provider: FakeProvider, theirs: str, ours: str
) -> None:
    """The provider's finish reason is stored with the reply."""
    provider.default = Reply(["Hi"], finish=theirs)
    conversation = await openai_client.create_conversation(message="Hello")
    assert conversation["messages"][1]["finish_reason"] == ours


@pytest.mark.parametrize(("answer", "status", "code"), FAILURES)
async def test_failure_becomes_problem(
    openai_client: ParleyClient, provider: FakeProvider, answer: Answer, status: int, code: str
) -> None:
    """A provider's failure has its code and status, and question and partial text are stored."""
    conversation = await openai_client.create_conversation()
    provider.default = answer
    problem = expect_problem(await openai_client.post_message(conversation, "Hello"), status, code)
    question, reply = await openai_client.get_messages(conversation)
    assert (problem["conversation_id"], problem["message_id"]) == (conversation["conversation_id"], reply["message_id"])
    assert (question["content"], question["status"], reply["status"]) == ("Hello", "completed", "failed")
    partial = "Half a " if isinstance(answer, Reply) and answer.steps else ""
    assert (reply["content"], reply["finish_reason"]) == (partial, None)
    assert reply["error"] == {"code": code, "detail": problem["detail"]}


@pytest.mark.parametrize(
    ("text", "code", "patience"),
    [("", "first-token", {"first_token_reasoning_seconds": 0.1}), ("Half a ", "idle", {"idle_seconds": 0.1})],
)
async def test_silent_provider_times_out(
    shared_database_url: str, provider: FakeProvider, text: str, code: str, patience: dict[str, float]
) -> None:
    """A provider that sends nothing for too long is closed, and the turn fails with a timeout."""
    provider.default = Reply([*filter(None, [text]), asyncio.Event()])
    openai: dict[str, Any] = {"llm_provider": "openai", "openai_base_url": provider.openai_base_url}
    async with serving(settings(database_url=shared_database_url, **openai, **patience)) as service:
        conversation = await service.client.create_conversation()
        problem = expect_problem(
            await service.client.post_message(conversation, "Hello"), 504, f"provider-timeout-{code}"
        )
        stored = await service.client.get_message(problem)
        assert (stored["status"], stored["content"], stored["error"]["code"]) == ("failed", text, problem["code"])
        async with asyncio.timeout(5):
            await asyncio.gather(*(call.closed.wait() for call in provider.calls))


async def test_failed_first_turn_keeps_conversation(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A conversation whose first turn failed exists with title and question, by the id in the problem."""
    provider.answer(*[server_error()] * TRIES)
    response = await openai_client.post("/conversations", json={"user_id": "ada", "message": "Hello"})
    problem = expect_problem(response, 502, "provider-error")
    read = await openai_client.get_conversation(problem)
    assert (read["title"], read["message_count"]) == ("Hello", 2)
    assert read["messages"][1]["message_id"] == problem["message_id"]


async def test_rate_limit_passed_on(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A provider's `Retry-After` that is too long to wait for is passed on at once."""
    conversation = await openai_client.create_conversation()
    provider.answer(rate_limited(retry_after=600))
    response = await openai_client.post_message(conversation, "Hello")
    expect_problem(response, 503, "provider-rate-limited")
    assert (response.headers["retry-after"], len(provider.calls)) == ("600", 1)


async def test_provider_errors_and_key_hidden(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Neither a provider's error text nor the key is in any answer or stream."""
    conversation = await openai_client.create_conversation()
    provider.answer(unauthorized(), unauthorized(), Reply(["Hi ", stream_error("sk-secret is broke")]))
    texts = [
        (await openai_client.post_message(conversation, "Hello", stream=stream)).text for stream in (False, True, True)
    ]
    texts.append((await openai_client.get(messages_path(conversation))).text)
    for word in ("sk-", "Incorrect API key", "broke"):
        assert not any(word in text for text in texts)


async def test_empty_reply_fails(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A reply without text fails its turn, unless the finish reason explains it."""
    conversation = await openai_client.create_conversation()
    provider.default = Reply([])
    expect_problem(await openai_client.post_message(conversation, "Hello"), 502, "provider-error")
    events: list[Any] = await openai_client.stream_all(conversation, "Hello")
    assert [(each.name, each.id) for each in events] == [("turn.started", 0), ("message.failed", "0-end")]
    provider.default = Reply([], finish="content_filter")
    answer = (await openai_client.send(conversation, "Hello", model="another"))["messages"][-1]
    assert (answer["content"], answer["status"], answer["finish_reason"]) == ("", "completed", "content_filter")


async def test_new_provider_drops_model(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A PATCH of the provider alone drops the model of the old provider."""
    conversation = await openai_client.create_conversation(provider="openai", model="gpt-x")
    changed = await openai_client.patch(conversation_path(conversation), json={"provider": "groq"})
    assert (changed.json()["provider"], changed.json()["model"]) == ("groq", None)
    await openai_client.send(conversation, "Hello")
    assert provider.calls[-1].body["model"] == "openai/gpt-oss-120b"
