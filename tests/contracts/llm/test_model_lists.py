"""A server without a configured model: its model list has the default."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from app.llm.catalog import Catalog
from app.llm.providers.model_list import parse_model_list
from app.llm.providers.openai import OpenAIModel
from tests.support.clock import run
from tests.support.provider import FakeProvider
from tests.support.proxy import TcpProxy
from tests.support.routing import KEY


def discovering_model(provider: FakeProvider) -> OpenAIModel:
    """Return an adapter that discovers its default model."""
    return OpenAIModel(KEY, provider.openai_base_url, "gpt-5-mini", discover_model=True)


def prepare(model: OpenAIModel) -> Any:
    """Prepare an adapter, as a turn does."""
    return Catalog([model], "openai").prepare()


@pytest.mark.parametrize("models", [["llama3.2:3b"], ["qwen", "llama", "mistral"], ["text-embedding-nomic", "qwen"]])
def test_first_listed_model_is_default(models: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """The first chat model of the list is used and logged, others are named in a warning; one fetch is enough."""
    caplog.set_level(logging.INFO)

    async def main() -> str:
        async with FakeProvider() as provider:
            provider.models = models
            model = discovering_model(provider)
            await asyncio.gather(*(prepare(model) for _ in range(8)))
            assert provider.listed == 1
            await model.aclose()
            return model.default_model

    chosen = run(main())
    assert chosen == next(name for name in models if "embed" not in name)
    [record] = [each for each in caplog.records if "answers" in each.message]
    assert vars(record)["model"] == chosen
    assert (record.levelname == "WARNING") == (len(models) > 1)
    assert len(models) == 1 or set(vars(record)["others"]) == set(models) - {chosen}


@pytest.mark.parametrize("models", [None, []])
def test_missing_list_is_fetched_once(models: list[str] | None) -> None:
    """Without a list, or with an empty one, the usual model name is sent and the list not fetched again."""

    async def main() -> None:
        async with FakeProvider() as provider:
            provider.models = models
            model = discovering_model(provider)
            for _ in range(3):
                await prepare(model)
                await asyncio.sleep(60)
            assert (model.default_model, provider.listed) == ("gpt-5-mini", 1)
            await model.aclose()

    run(main())


def test_failed_fetch_is_retried() -> None:
    """A list that could not be fetched is fetched again before a later turn, after a pause."""

    async def main() -> None:
        async with FakeProvider() as provider:
            provider.models = ["llama"]
            async with TcpProxy(provider.port) as network:
                model = OpenAIModel(KEY, f"http://127.0.0.1:{network.port}/v1", "gpt-5-mini", discover_model=True)
                network.accepting = False
                await prepare(model)
                network.accepting = True
                await prepare(model)
                assert model.default_model == "gpt-5-mini"
                await asyncio.sleep(5)
                await prepare(model)
                assert model.default_model == "llama"
                await model.aclose()

    run(main())


def test_configured_model_needs_no_list() -> None:
    """Where a model is configured no list is fetched."""

    async def main() -> None:
        async with FakeProvider() as provider:
            provider.models = ["llama"]
            model = OpenAIModel(KEY, provider.openai_base_url, "qwen")
            await prepare(model)
            assert (model.default_model, provider.listed) == ("qwen", 0)

    run(main())


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}, ["a", "b"]),
        ([{"id": "a", "type": "chat"}], ["a"]),
        ({"models": [{"name": "a"}, "b"]}, ["a", "b"]),
        ({"data": [{"id": "bge-reranker"}, {"id": 7}, None, {"id": "a\n"}, {"id": "a"}]}, ["a", "bge-reranker"]),
        ({"data": None}, []),
        ({"data": {}}, []),
        ("models", []),
        (None, []),
    ],
)
def test_forms_of_lists(body: Any, names: list[str]) -> None:
    """Names are read from each form of a list; entries without a name are skipped."""
    assert parse_model_list(json.dumps(body).encode()) == names


def test_list_that_is_no_json_is_empty() -> None:
    """A page of HTML lists no models."""
    assert parse_model_list(b"<html>") == []
