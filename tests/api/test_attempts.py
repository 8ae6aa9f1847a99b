"""What was done for a reply, and what it cost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.talk import UNKNOWN_ID, got, make, messages_of, path_of, problem_of, say, streamed, told, until_ended
from tests.support.provider import FakeProvider
from tests.support.replies import Cut, Dialect, Reply, Response, Thought, rate_limited, server_error
from tests.support.service import Service, asking, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

HAN = "\u4e2d"
TODAY = datetime.now(UTC).date().isoformat()


async def attempts_of(service: Service, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The attempts at a reply."""
    found: list[dict[str, Any]] = await got(service, f"{messages_of(reply)}/{reply['message_id']}/attempts")
    return found


async def usage_of(service: Service, user_id: str = "ada", **between: str) -> list[dict[str, Any]]:
    """What a user has used."""
    found: list[dict[str, Any]] = await got(service, "/usage", user_id=user_id, **between)
    return found


async def test_an_attempt_is_told(openai_service: Service, provider: FakeProvider) -> None:
    """A reply has one attempt, with who was asked, how it ended, how long it took and what it cost."""
    provider.reply("Hi", usage=(12, 34))
    made = await make(openai_service, message="Hello")
    [attempt] = await attempts_of(openai_service, made["messages"][1])
    assert attempt.pop("total_ms") >= attempt.pop("first_token_ms") >= 0
    assert attempt.pop("started_at") >= made["messages"][1]["created_at"]
    assert attempt == {
        "provider": "openai",
        "model": "gpt-5-mini",
        "outcome": "completed",
        "status_code": 200,
        "usage": {"input_tokens": 12, "output_tokens": 34, "estimated": False},
    }


async def test_retries_are_told_in_order(openai_service: Service, provider: FakeProvider) -> None:
    """Each call of a provider is an attempt; those that were refused cost nothing."""
    provider.answer(server_error(503), rate_limited(0), Reply(["Hi"]))
    made = await make(openai_service, message="Hello")
    attempts = await attempts_of(openai_service, made["messages"][1])
    assert [(each["outcome"], each["status_code"]) for each in attempts] == [
        ("provider-error", 503),
        ("provider-rate-limited", 429),
        ("completed", 200),
    ]
    assert [each["usage"] is None for each in attempts] == [True, True, False]


async def test_a_failed_turn_s_attempts_are_told(openai_service: Service, provider: FakeProvider) -> None:
    """A turn that failed amid its reply has cost what it got, estimated; its message says the same."""
    provider.reply("Half of it", Cut.RST)
    made = await make(openai_service)
    problem = problem_of(await say(openai_service, made, "Hello"), 502, "provider-truncated")
    reply = await got(openai_service, f"{messages_of(made)}/{problem['message_id']}")
    [attempt] = await attempts_of(openai_service, reply)
    assert (attempt["outcome"], attempt["status_code"]) == ("provider-truncated", 200)
    assert attempt["usage"] == reply["usage"] == {"input_tokens": 6, "output_tokens": 3, "estimated": True}


async def test_a_question_has_no_attempts(openai_service: Service, provider: FakeProvider) -> None:
    """A user's message was asked of nobody; what is not there, or another's, is a 404."""
    made = await make(openai_service, message="Hello")
    assert await attempts_of(openai_service, made["messages"][0]) == []
    for path, code in (
        (f"{messages_of(made)}/{UNKNOWN_ID}/attempts", "message-not-found"),
        (f"/conversations/{UNKNOWN_ID}/messages/{UNKNOWN_ID}/attempts", "conversation-not-found"),
        (f"{messages_of(made)}/{made['messages'][1]['message_id']}/attempts?user_id=bob", "conversation-not-found"),
    ):
        problem_of(await openai_service.client.get(path), 404, code)


async def test_usage_is_summed_by_day_provider_and_model(openai_service: Service, provider: FakeProvider) -> None:
    """Turns and tokens of a user add up, one row for each model, and nobody else's are among them."""
    provider.default = Reply(["Hi"], usage=(10, 5))
    made = await make(openai_service, message="One")
    await told(openai_service, made, "Two")
    await told(openai_service, made, "Three", provider="groq")
    await make(openai_service, user_id="bob", message="Mine")
    common = {"day": TODAY, "estimated": False}
    assert await usage_of(openai_service) == [
        common
        | {"provider": "groq", "model": "openai/gpt-oss-120b", "turns": 1, "input_tokens": 10, "output_tokens": 5},
        common | {"provider": "openai", "model": "gpt-5-mini", "turns": 2, "input_tokens": 20, "output_tokens": 10},
    ]
    assert [row["turns"] for row in await usage_of(openai_service, "bob")] == [1]
    assert await usage_of(openai_service, "nobody") == []


async def test_usage_outlives_what_it_was_for(openai_service: Service, provider: FakeProvider) -> None:
    """Deleted messages and conversations stay in the ledger; an erased user's entries go with the user."""
    made = await make(openai_service, message="Hello")
    before = await usage_of(openai_service)
    await openai_service.client.delete(f"{messages_of(made)}/{made['messages'][1]['message_id']}")
    await openai_service.client.delete(path_of(made))
    assert await usage_of(openai_service) == before != []
    await openai_service.client.delete("/users/ada")
    assert await usage_of(openai_service) == []
    await openai_service.client.post("/users", json={"user_id": "ada"})
    assert await usage_of(openai_service) == []


async def test_a_cancelled_turn_is_entered(openai_service: Service, provider: FakeProvider) -> None:
    """What a turn has cost until it was cancelled is in the ledger, estimated."""
    provider.reply("x" * 40, asyncio.Event())
    made = await make(openai_service)
    accepted = await say(openai_service, made, "Hello", background=True)
    await provider.wait_calls(1)
    [run] = openai_service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    await openai_service.client.post(f"{accepted.headers['location']}/cancel")
    ended = await until_ended(openai_service, made)
    assert ended["usage"] == {"input_tokens": 6, "output_tokens": 10, "estimated": True}
    [attempt] = await attempts_of(openai_service, ended)
    assert (attempt["outcome"], attempt["usage"]) == ("cancelled", ended["usage"])
    [row] = await usage_of(openai_service)
    assert (row["turns"], row["output_tokens"], row["estimated"]) == (1, 10, True)


async def test_what_came_is_estimated_by_its_script(openai_service: Service, provider: FakeProvider) -> None:
    """Forty characters of Chinese, in two pieces and with a thought of ten, are not what forty of English are."""
    provider.reply(Thought(HAN * 10), HAN * 20, HAN * 20, Cut.RST)
    made = await make(openai_service)
    problem = problem_of(await say(openai_service, made, HAN * 60), 502, "provider-truncated")
    reply = await got(openai_service, f"{messages_of(made)}/{problem['message_id']}")
    assert reply["usage"] == {"input_tokens": 64, "output_tokens": 50, "estimated": True}


async def test_a_turn_whose_client_left_is_entered(openai_service: Service, provider: FakeProvider) -> None:
    """A client that leaves takes nothing out of the ledger."""
    gate = asyncio.Event()
    provider.reply("Hi", gate, usage=(12, 34))
    made = await make(openai_service)
    path = messages_of(made)
    async with openai_service.client.http.stream("POST", path, json={"message": "Hello", "stream": True}) as stream:
        await anext(stream.aiter_lines())
    gate.set()
    await until_ended(openai_service, made)
    [row] = await usage_of(openai_service)
    assert (row["input_tokens"], row["output_tokens"]) == (12, 34)


async def test_a_turn_whose_conversation_was_deleted_is_entered(
    openai_service: Service, provider: FakeProvider
) -> None:
    """A conversation that is deleted under its turn does not take with it what the turn has cost."""
    provider.reply("Half", asyncio.Event())
    made = await make(openai_service)
    await say(openai_service, made, "Hello", background=True)
    await provider.wait_calls(1)
    [run] = openai_service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    await openai_service.client.delete(path_of(made))
    await run.stream.wait_finished()
    [row] = await usage_of(openai_service)
    assert (row["turns"], row["output_tokens"], row["estimated"]) == (1, 1, True)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"user_id": "ada", "from": "yesterday"},
        {"user_id": "ada", "from": "2026-02-30"},
        {"user_id": "ada", "from": "2026-11-02", "to": "2026-11-01"},
        {"user_id": "ada", "from": "2024-01-01", "to": "2026-01-01"},
        {"user_id": "ada", "since": "2026-01-01"},
    ],
)
async def test_usage_of_no_days_is_refused(openai_service: Service, query: dict[str, str]) -> None:
    """Usage needs a user, and days that are days, in order, at most a year of them."""
    problem_of(await openai_service.client.get("/usage", params=query), 422, "validation-error")


async def test_usage_is_of_the_days_that_are_asked_for(openai_service: Service, provider: FakeProvider) -> None:
    """`from` and `to` are both included; either may be left out."""
    await make(openai_service, message="Hello")
    day = datetime.now(UTC).date()
    before, after = (day - timedelta(1)).isoformat(), (day + timedelta(1)).isoformat()
    assert len(await usage_of(openai_service, **{"from": TODAY, "to": TODAY})) == 1
    assert len(await usage_of(openai_service, **{"from": before})) == 1
    assert await usage_of(openai_service, **{"from": after}) == []
    assert await usage_of(openai_service, to=before) == []


async def test_another_provider_takes_over(shared_database_url: str, provider: FakeProvider) -> None:
    """With a fallback a provider's failure is a detail: the reply comes, and says who wrote it."""
    configured = asking(provider, database_url=shared_database_url, llm_fallbacks="groq:llama, local")
    provider.default = lambda call: Reply(["Hi"]) if call.dialect is Dialect.GROQ else server_error()
    async with serving(configured) as service:
        made = await make(service, user_id="eve", message="Hello")
        _, reply = made["messages"]
        assert (reply["provider"], reply["model"], reply["content"]) == ("groq", "llama", "Hi")
        assert [each["provider"] for each in await attempts_of(service, reply)] == ["openai"] * 3 + ["groq"]
        events = await streamed(service, made, "Again")
        assert events[-1].data["message"]["provider"] == "groq"
        rows = await usage_of(service, "eve")
        assert [(row["provider"], row["turns"], row["output_tokens"] > 0) for row in rows] == [
            ("groq", 2, True),
            ("openai", 2, False),
        ]
        assert (await got(service, path_of(made)))["provider"] is None


async def test_models_are_listed(openai_service: Service, provider: FakeProvider) -> None:
    """`GET /models` tells what may be asked for by name, how much it takes, and which of it answers by default."""
    models = await got(openai_service, "/models")
    assert [(each["provider"], each["model"], each["default"]) for each in models] == [
        ("openai", "gpt-5-mini", True),
        ("groq", "openai/gpt-oss-120b", False),
        ("local", "smollm2-135m-instruct", False),
    ]
    assert [each["context_window"] for each in models] == [400_000, 131_072, 4_096]
    assert all(each["available"] for each in models)


async def test_a_model_that_keeps_failing_is_shown_as_unavailable(
    openai_service: Service, provider: FakeProvider
) -> None:
    """A model whose breaker is open is not available, and turns to it are refused at once with when to come back."""
    provider.default = server_error()
    made = await make(openai_service)
    for _ in range(2):
        await say(openai_service, made, "Hello")
    assert [each["available"] for each in await got(openai_service, "/models")] == [False, True, True]
    calls = len(provider.calls)
    response = await say(openai_service, made, "Hello")
    problem_of(response, 503, "provider-unavailable")
    assert 1 <= int(response.headers["retry-after"]) <= 30
    assert len(provider.calls) == calls


async def test_a_further_provider_is_one_like_any_other(shared_database_url: str, provider: FakeProvider) -> None:
    """A server that LLM_PROVIDERS names can be asked by its name, with its own key, model and window."""
    further = {"ollama": {"base_url": provider.openai_base_url, "model": "llama3.2:3b", "api_key": "sk-own"}}
    configured = settings(llm_providers=further, llm_provider="ollama", database_url=shared_database_url)
    async with serving(configured) as service:
        made = await make(service, message="Hello")
        assert (made["messages"][1]["provider"], made["messages"][1]["model"]) == ("ollama", "llama3.2:3b")
        assert provider.calls[0].headers["authorization"] == "Bearer sk-own"
        assert provider.calls[0].body["model"] == "llama3.2:3b"
        [model] = [each for each in await got(service, "/models") if each["provider"] == "ollama"]
        assert (model["default"], model["context_window"]) == (True, 32_768)
        refused = await say(service, made, "Hello", provider="openai")
        assert "ollama" in problem_of(refused, 422, "unknown-model")["detail"]


async def test_a_model_that_the_provider_does_not_have_is_refused(
    openai_service: Service, provider: FakeProvider
) -> None:
    """Where only the provider knows its models, its 404 becomes `unknown-model`, naming those known here."""
    provider.default = lambda _: server_error(404)
    made = await make(openai_service)
    problem_of(await say(openai_service, made, "Hello", model="gpt-9"), 502, "provider-error")
    body = b'{"error": {"message": "The model does not exist", "type": "x", "code": "model_not_found"}}'
    provider.default = Response(404, body)
    problem = problem_of(await say(openai_service, made, "Hello", model="gpt-9"), 422, "unknown-model")
    assert "gpt-5-mini" in problem["detail"]
