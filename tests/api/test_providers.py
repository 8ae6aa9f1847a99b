"""What providers are sent, and what becomes of what they answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.talk import got, make, messages_of, path_of, problem_of, say, streamed, told
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
from tests.support.service import Service, serving, settings

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
"""How often a provider is asked that fails before it begins its reply."""


def prompts(provider: FakeProvider) -> list[list[tuple[str, str]]]:
    """The messages of each call, as role and text."""
    return [[(each["role"], each["content"]) for each in call.body["messages"]] for call in provider.calls]


async def test_the_prompt_is_system_prompt_history_and_question(
    openai_service: Service, provider: FakeProvider
) -> None:
    """A provider is sent the system prompt first, then the turns before, then the question."""
    made = await make(openai_service, system_prompt="Be brief.", message="One")
    await told(openai_service, made, "Two")
    system, first = ("system", "Be brief."), [("user", "One"), ("assistant", "Echo: One")]
    assert prompts(provider) == [[system, ("user", "One")], [system, *first, ("user", "Two")]]


async def test_a_changed_system_prompt_is_told_from_the_next_turn_on(
    openai_service: Service, provider: FakeProvider
) -> None:
    """The system prompt that is sent is the one of the moment; none is sent where there is none."""
    made = await make(openai_service, message="One")
    for system_prompt in ("Be kind.", None):
        await openai_service.client.patch(path_of(made), json={"system_prompt": system_prompt})
        await told(openai_service, made, "Two")
    assert [prompt[0] for prompt in prompts(provider)] == [("user", "One"), ("system", "Be kind."), ("user", "One")]


async def test_an_edit_is_told_from_the_next_turn_on(openai_service: Service, provider: FakeProvider) -> None:
    """After PUT the next turn's prompt holds the new text in place of the old."""
    made = await make(openai_service, message="One")
    path = f"{messages_of(made)}/{made['messages'][0]['message_id']}"
    await openai_service.client.put(path, json={"content": "Eins"})
    await told(openai_service, made, "Two")
    assert prompts(provider)[1] == [("user", "Eins"), ("assistant", "Echo: One"), ("user", "Two")]


@pytest.mark.parametrize("half", [0, 1])
async def test_a_turn_with_a_deleted_half_is_told_no_more(
    openai_service: Service, provider: FakeProvider, half: int
) -> None:
    """A deleted message, and the half that would stand alone, are in no later prompt."""
    made = await make(openai_service, message="Secret")
    await told(openai_service, made, "Two")
    await openai_service.client.delete(f"{messages_of(made)}/{made['messages'][half]['message_id']}")
    await told(openai_service, made, "Three")
    assert prompts(provider)[2] == [("user", "Two"), ("assistant", "Echo: Two"), ("user", "Three")]


async def test_a_failed_turn_is_told_no_more(openai_service: Service, provider: FakeProvider) -> None:
    """A turn that failed before its first word is left out of later prompts, with its question."""
    made = await make(openai_service, message="One")
    provider.answer(*[server_error()] * TRIES)
    await say(openai_service, made, "Two")
    await told(openai_service, made, "Three")
    assert prompts(provider)[-1] == [("user", "One"), ("assistant", "Echo: One"), ("user", "Three")]


async def test_a_turns_sampling_reaches_the_provider(openai_service: Service, provider: FakeProvider) -> None:
    """Model, temperature and max_tokens of a turn are sent, and the model is stored with the reply."""
    made = await make(openai_service)
    sampling = {"model": "gpt-x", "temperature": 0.25, "max_tokens": 321}
    answer = await told(openai_service, made, "Hello", **sampling)
    body = provider.calls[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt-x", 0.25, 321)
    assert (answer["messages"][1]["provider"], answer["messages"][1]["model"]) == ("openai", "gpt-x")


async def test_a_conversations_sampling_is_its_turns(openai_service: Service, provider: FakeProvider) -> None:
    """A conversation's own settings go with each of its turns, save where a turn has another."""
    made = await make(openai_service, model="gpt-x", temperature=1.5, max_tokens=9, message="One")
    await told(openai_service, made, "Two", temperature=0)
    sent = [(each.body["model"], each.body["temperature"], each.body["max_tokens"]) for each in provider.calls]
    assert sent == [("gpt-x", 1.5, 9), ("gpt-x", 0, 9)]


async def test_what_nobody_set_is_not_sent(openai_service: Service, provider: FakeProvider) -> None:
    """Without temperature and max_tokens the provider's own defaults hold, and its default model answers."""
    await make(openai_service, message="Hello")
    body = provider.calls[0].body
    assert body["model"] == "gpt-5-mini"
    assert not {"temperature", "max_tokens", "max_completion_tokens"} & body.keys()


async def test_groq_answers_when_it_is_named(openai_service: Service, provider: FakeProvider) -> None:
    """A turn may name another provider, whose own default model then answers; the next turn goes back."""
    made = await make(openai_service, model="gpt-x")
    named = await told(openai_service, made, "One", provider="groq", max_tokens=5)
    after = await told(openai_service, made, "Two")
    assert [call.dialect for call in provider.calls] == [Dialect.GROQ, Dialect.OPENAI]
    assert provider.calls[0].body["max_completion_tokens"] == 5
    authors = [(each["messages"][-1]["provider"], each["messages"][-1]["model"]) for each in (named, after)]
    assert authors == [("groq", "openai/gpt-oss-120b"), ("openai", "gpt-x")]


async def test_a_conversation_of_groq_stays_with_it(openai_service: Service, provider: FakeProvider) -> None:
    """A conversation that names groq and a model of its own is answered by them."""
    made = await make(openai_service, provider="groq", model="llama-x", message="One")
    assert (made["provider"], made["model"], made["assistant_reply"]) == ("groq", "llama-x", "Echo: One")
    assert (provider.calls[0].dialect, provider.calls[0].body["model"]) == (Dialect.GROQ, "llama-x")


async def test_usage_is_the_providers(openai_service: Service, provider: FakeProvider) -> None:
    """A provider's own count of tokens is stored; without one it is estimated from characters."""
    provider.reply("Hi", usage=(12, 34))
    provider.reply("Hi", usage=None)
    made = await make(openai_service, message="Hello you")
    counted = (await told(openai_service, made, "Again"))["messages"]
    assert counted[1]["usage"] == {"input_tokens": 12, "output_tokens": 34, "estimated": False}
    assert counted[3]["usage"]["estimated"] is True


@pytest.mark.parametrize(
    ("theirs", "ours"), [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter")]
)
async def test_the_finish_reason_is_stored(
    openai_service: Service, provider: FakeProvider, theirs: str, ours: str
) -> None:
    """Why the model stopped is told with the reply."""
    provider.default = Reply(["Hi"], finish=theirs)
    made = await make(openai_service, message="Hello")
    assert made["messages"][1]["finish_reason"] == ours


@pytest.mark.parametrize(("answer", "status", "code"), FAILURES)
async def test_a_failed_turn_is_a_problem_and_is_stored(
    openai_service: Service, provider: FakeProvider, answer: Answer, status: int, code: str
) -> None:
    """A provider's failure has its code and status, names what was stored, and keeps question and partial text."""
    made = await make(openai_service)
    provider.default = answer
    problem = problem_of(await say(openai_service, made, "Hello"), status, code)
    question, reply = await got(openai_service, messages_of(made))
    assert (problem["conversation_id"], problem["message_id"]) == (made["conversation_id"], reply["message_id"])
    assert (question["content"], question["status"], reply["status"]) == ("Hello", "completed", "failed")
    partial = "Half a " if isinstance(answer, Reply) and answer.steps else ""
    assert (reply["content"], reply["finish_reason"]) == (partial, None)
    assert reply["error"] == {"code": code, "detail": problem["detail"]}


@pytest.mark.parametrize(
    ("text", "code", "patience"),
    [("", "first-token", {"first_token_reasoning_seconds": 0.1}), ("Half a ", "idle", {"idle_seconds": 0.1})],
)
async def test_a_provider_that_falls_silent_is_given_up(
    shared_database_url: str, provider: FakeProvider, text: str, code: str, patience: dict[str, float]
) -> None:
    """A provider that sends nothing for too long is closed, and the turn fails with what it was waited for."""
    provider.default = Reply([*filter(None, [text]), asyncio.Event()])
    openai: dict[str, Any] = {"llm_provider": "openai", "openai_base_url": provider.openai_base_url}
    async with serving(settings(database_url=shared_database_url, **openai, **patience)) as service:
        made = await make(service)
        problem = problem_of(await say(service, made, "Hello"), 504, f"provider-timeout-{code}")
        stored = await got(service, f"{messages_of(made)}/{problem['message_id']}")
        assert (stored["status"], stored["content"], stored["error"]["code"]) == ("failed", text, problem["code"])
        async with asyncio.timeout(5):
            await asyncio.gather(*(call.closed.wait() for call in provider.calls))


async def test_a_first_turn_that_fails_leaves_its_conversation(openai_service: Service, provider: FakeProvider) -> None:
    """A conversation whose first turn fails is there with its title and question, by the id in the problem."""
    provider.answer(*[server_error()] * TRIES)
    response = await openai_service.client.post("/conversations", json={"user_id": "ada", "message": "Hello"})
    problem = problem_of(response, 502, "provider-error")
    read = await got(openai_service, path_of(problem))
    assert (read["title"], read["message_count"]) == ("Hello", 2)
    assert read["messages"][1]["message_id"] == problem["message_id"]


async def test_a_rate_limits_pause_is_passed_on(openai_service: Service, provider: FakeProvider) -> None:
    """A provider's `Retry-After` that is longer than the turn may take is the caller's, at once."""
    made = await make(openai_service)
    provider.answer(rate_limited(retry_after=600))
    response = await say(openai_service, made, "Hello")
    problem_of(response, 503, "provider-rate-limited")
    assert (response.headers["retry-after"], len(provider.calls)) == ("600", 1)


async def test_a_providers_words_and_key_stay_inside(openai_service: Service, provider: FakeProvider) -> None:
    """Neither what a provider says in an error nor the key reaches a caller, in JSON or in a stream."""
    made = await make(openai_service)
    provider.answer(unauthorized(), unauthorized(), Reply(["Hi ", stream_error("sk-secret is broke")]))
    texts = [(await say(openai_service, made, "Hello", stream=stream)).text for stream in (False, True, True)]
    texts.append((await openai_service.client.get(messages_of(made))).text)
    for word in ("sk-", "Incorrect API key", "broke"):
        assert not any(word in text for text in texts)


async def test_an_empty_reply_is_a_failure(openai_service: Service, provider: FakeProvider) -> None:
    """A model that says nothing and stops has failed its turn, streamed or not; one that says why has not."""
    made = await make(openai_service)
    provider.default = Reply([])
    problem_of(await say(openai_service, made, "Hello"), 502, "provider-error")
    events: list[Any] = await streamed(openai_service, made, "Hello")
    assert [(each.name, each.id) for each in events] == [("turn.started", 0), ("message.failed", "0-end")]
    provider.default = Reply([], finish="content_filter")
    answer = (await told(openai_service, made, "Hello", model="another"))["messages"][-1]
    assert (answer["content"], answer["status"], answer["finish_reason"]) == ("", "completed", "content_filter")


async def test_another_provider_for_a_conversation_brings_its_own_model(
    openai_service: Service, provider: FakeProvider
) -> None:
    """A conversation that changes its provider alone drops the model that was the old one's."""
    made = await make(openai_service, provider="openai", model="gpt-x")
    changed = await openai_service.client.patch(path_of(made), json={"provider": "groq"})
    assert (changed.json()["provider"], changed.json()["model"]) == ("groq", None)
    await told(openai_service, made, "Hello")
    assert provider.calls[-1].body["model"] == "openai/gpt-oss-120b"


async def test_a_server_without_a_configured_model_is_asked_for_its_own(shared_database_url: str) -> None:
    """The first turn, and GET /models, wait for a server's list; its first model answers, and is stored."""
    async with FakeProvider() as server:
        server.models = ["qwen3:8b", "llama3.2:3b"]
        configured = settings(
            database_url=shared_database_url, llm_provider="openai", openai_base_url=server.openai_base_url
        )
        async with serving(configured) as service:
            made = await make(service, message="Hello")
            offered = await got(service, "/models")
        assert server.listed == 1
        assert (server.calls[0].body["model"], made["messages"][1]["model"]) == ("qwen3:8b", "qwen3:8b")
        assert [each["model"] for each in offered if each["provider"] == "openai"] == ["qwen3:8b"]
