"""The recipes of docs/providers.md: their settings load, and the request is the documented one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from app.factories import catalog_of
from app.llm.base import ChatRequest
from app.preflight import startup_errors, startup_warnings
from app.settings import Settings
from tests.support.clock import run
from tests.support.provider import Call, FakeProvider
from tests.support.tunnels import Tunnels, self_signed, tunnelling

PAGE = (Path(__file__).parents[3] / "docs" / "providers.md").read_text()
UNTRIED = "Not tried against the real server."
NAMED = [
    "OpenAI",
    "Azure",
    "Groq",
    "Anthropic",
    "Gemini",
    "Mistral",
    "DeepSeek",
    "OpenRouter",
    "Ollama",
    "vLLM",
    "LM-Studio",
    "llama.cpp",
    "Several-at-once",
]


class Recipe(NamedTuple):
    """A recipe of the page."""

    name: str
    variables: dict[str, str]
    url: str
    """URL of chat completions."""
    bound: str
    """The name under which the bound of a reply is sent."""
    text: str


def recipes() -> dict[str, Recipe]:
    """Return the recipes by name."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        name, _, text = section.partition("\n")
        block = re.search(r"```dotenv\n(.*?)```", text, re.DOTALL)
        if block is None:
            continue
        request = re.search(r"Requests go to `([^`]+)`, with `(\w+)`", text)
        assert request is not None, name
        lines = (line.partition("=") for line in block[1].splitlines())
        variables = {variable: value for variable, _, value in lines}
        name = name.replace(" ", "-")
        found[name] = Recipe(name, variables, request[1], request[2], text)
    return found


RECIPES = recipes()


def test_recipe_per_provider() -> None:
    """The page has a recipe for each provider, marked as untried."""
    assert [*RECIPES] == NAMED
    assert [name for name, recipe in RECIPES.items() if UNTRIED not in recipe.text] == []


@pytest.mark.parametrize("name", NAMED)
def test_recipe_request(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A recipe's settings load without a warning, and its request has the page's URL, headers and body."""
    recipe = RECIPES[name]
    for variable in [*Settings.model_fields, "ALL_PROXY", "NO_PROXY"]:
        monkeypatch.delenv(variable.upper(), raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    for variable, value in recipe.variables.items():
        monkeypatch.setenv(variable, value)
    settings = Settings(_env_file=None)
    assert (startup_errors(settings), [*startup_warnings(settings)]) == ([], [])
    parts = urlsplit(recipe.url)
    tls, trusted = self_signed(tmp_path, str(parts.hostname))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))

    async def main() -> None:
        async with (
            FakeProvider(tls if parts.scheme == "https" else None) as provider,
            tunnelling(provider.port) as proxy,
        ):
            provider.further_paths.add(parts.path)
            provider.models = ["its-own"]
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("HTTP_PROXY", provider.groq_base_url)
            await generate_reply(settings)
            [call] = provider.calls
            check(recipe, call, proxy)

    run(main())


async def generate_reply(settings: Settings) -> None:
    """Generate a reply with the default provider."""
    catalog = catalog_of(settings)
    await catalog.prepare()
    request = ChatRequest(catalog.default.default_model, [{"role": "user", "content": "Hello"}], 0.5, 99)
    assert "".join([chunk.text async for chunk in catalog.default.stream(request)]) == "Echo: Hello"
    await catalog.aclose()


def check(recipe: Recipe, call: Call, proxy: Tunnels) -> None:
    """Compare a request with the recipe."""
    parts = urlsplit(recipe.url)
    if parts.scheme == "https":
        assert proxy.heads[0].startswith(f"CONNECT {parts.hostname}:443 ")
        assert (call.target, call.headers["host"]) == (parts.path, parts.hostname)
    else:
        assert call.target == recipe.url
    key = recipe.variables.get("OPENAI_API_KEY") or recipe.variables.get("GROQ_API_KEY") or "none"
    assert call.headers["authorization"] == f"Bearer {key}"
    assert call.headers["content-type"] == "application/json"
    assert (call.headers["accept"], call.headers["accept-encoding"]) == ("text/event-stream", "identity")
    options = {} if recipe.name == "Groq" else {"stream_options": {"include_usage": True}}
    assert call.body == {
        "model": recipe.variables.get("LLM_MODEL", "its-own"),
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "temperature": 0.5,
        recipe.bound: 99,
        **options,
    }
