from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Provider, Settings
from tests.support.service import settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def examples() -> dict[str, tuple[str, str]]:
    """The names in `.env.example`, each with its line of meaning and its value."""
    lines = EXAMPLE.read_text().splitlines()
    pairs = itertools.pairwise(lines)
    return {line.partition("=")[0]: (above, line.partition("=")[2]) for above, line in pairs if "=" in line}


def test_the_example_lists_every_setting_with_its_default() -> None:
    """`.env.example` and the settings class name the same settings, defaults and meanings."""
    expected = {}
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(getattr(field.default, "value", field.default))
        expected[name.upper()] = (f"# {field.description}", default)
    assert examples() == expected


def test_there_are_at_most_forty_settings() -> None:
    """The number of settings stays within what an operator can read."""
    assert len(Settings.model_fields) <= 40


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "eighty"), ("web_concurrency", "0"), ("llm_provider", "chatgpt"), ("log_level", "loud")],
)
def test_a_setting_that_cannot_be_read_is_named(name: str, value: str) -> None:
    """A misspelt value stops the start with the setting's name."""
    with pytest.raises(ValidationError) as caught:
        settings(**{name: value})
    assert caught.value.errors()[0]["loc"] == (name,)


def test_an_unknown_variable_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of other programs, and empty ones, are passed over."""
    monkeypatch.setenv("PORTS", "many")
    monkeypatch.setenv("PORT", "")
    assert settings().port == 8000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Provider.LOCAL),
        ({"groq_api_key": "g"}, Provider.GROQ),
        ({"groq_api_key": "g", "openai_api_key": "o"}, Provider.OPENAI),
        ({"openai_base_url": "http://localhost:11434/v1"}, Provider.OPENAI),
        ({"groq_api_key": "g", "openai_api_key": "o", "llm_provider": "GROQ"}, Provider.GROQ),
    ],
)
def test_the_first_key_found_chooses_the_provider(given: dict[str, str], expected: Provider) -> None:
    """LLM_PROVIDER decides, else the first key, then a server that is named, else the embedded model."""
    assert settings(**{"llm_provider": None, **given}).effective_provider == expected


def test_a_provider_without_its_key_stops_the_start() -> None:
    """LLM_PROVIDER without the credentials that it needs is refused."""
    with pytest.raises(ValidationError, match="OPENAI_API_KEY"):
        settings(llm_provider="openai")


def test_keys_are_not_shown() -> None:
    """A key does not appear where settings are printed."""
    assert "sk-secret" not in repr(settings(openai_api_key="sk-secret"))
