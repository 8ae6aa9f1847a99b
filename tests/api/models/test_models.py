"""`GET /models`, and how a turn's model is found or refused."""

from __future__ import annotations

import pytest

from tests.support.parley_client import ParleyClient
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import (
    Response,
    server_error,
)
from tests.support.service import serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_models_listed(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """`GET /models` lists each configured model with its context window, its availability and which is the default."""
    models = await openai_client.get_json("/models")
    assert [(each["provider"], each["model"], each["default"]) for each in models] == [
        ("openai", "gpt-5-mini", True),
        ("groq", "openai/gpt-oss-120b", False),
        ("local", "smollm2-135m-instruct", False),
    ]
    assert [each["context_window"] for each in models] == [400_000, 131_072, 4_096]
    assert all(each["available"] for each in models)


async def test_failing_model_unavailable(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A model with an open circuit breaker is listed as unavailable, and its turns are refused with `Retry-After`."""
    provider.default = server_error()
    conversation = await openai_client.create_conversation()
    for _ in range(2):
        await openai_client.post_message(conversation, "Hello")
    assert [each["available"] for each in await openai_client.get_json("/models")] == [False, True, True]
    calls = len(provider.calls)
    response = await openai_client.post_message(conversation, "Hello")
    expect_problem(response, 503, "provider-unavailable")
    assert 1 <= int(response.headers["retry-after"]) <= 30
    assert len(provider.calls) == calls


async def test_further_provider_used(shared_database_url: str, provider: FakeProvider) -> None:
    """A server of LLM_PROVIDERS is chosen by its name, with its own key, model and context window."""
    further = {"ollama": {"base_url": provider.openai_base_url, "model": "llama3.2:3b", "api_key": "sk-own"}}
    configured = settings(llm_providers=further, llm_provider="ollama", database_url=shared_database_url)
    async with serving(configured) as service:
        conversation = await service.client.create_conversation(message="Hello")
        assert (conversation["messages"][1]["provider"], conversation["messages"][1]["model"]) == (
            "ollama",
            "llama3.2:3b",
        )
        assert provider.calls[0].headers["authorization"] == "Bearer sk-own"
        assert provider.calls[0].body["model"] == "llama3.2:3b"
        [model] = [each for each in await service.client.get_json("/models") if each["provider"] == "ollama"]
        assert (model["default"], model["context_window"]) == (True, 32_768)
        refused = await service.client.post_message(conversation, "Hello", provider="openai")
        assert "ollama" in expect_problem(refused, 422, "unknown-model")["detail"]


async def test_model_unknown_to_provider_refused(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A provider's 404 for a model becomes `unknown-model`, with the names of the configured models."""
    provider.default = lambda _: server_error(404)
    conversation = await openai_client.create_conversation()
    expect_problem(await openai_client.post_message(conversation, "Hello", model="gpt-9"), 502, "provider-error")
    body = b'{"error": {"message": "The model does not exist", "type": "x", "code": "model_not_found"}}'
    provider.default = Response(404, body)
    problem = expect_problem(
        await openai_client.post_message(conversation, "Hello", model="gpt-9"), 422, "unknown-model"
    )
    assert "gpt-5-mini" in problem["detail"]


async def test_model_from_server_list(shared_database_url: str) -> None:
    """Without a configured model, the first of the server's own list replies and is stored."""
    async with FakeProvider() as server:
        server.models = ["qwen3:8b", "llama3.2:3b"]
        configured = settings(
            database_url=shared_database_url, llm_provider="openai", openai_base_url=server.openai_base_url
        )
        async with serving(configured) as service:
            conversation = await service.client.create_conversation(message="Hello")
            offered = await service.client.get_json("/models")
        assert server.listed == 1
        assert (server.calls[0].body["model"], conversation["messages"][1]["model"]) == ("qwen3:8b", "qwen3:8b")
        assert [each["model"] for each in offered if each["provider"] == "openai"] == ["qwen3:8b"]
