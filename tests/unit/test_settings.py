from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.factories import embedder_of, reranker_of
from app.settings import Settings
from tests.support.service import settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def examples() -> dict[str, tuple[str, str]]:
    """Return the names in `.env.example`, each with the comment above it and its value."""
    lines = EXAMPLE.read_text().splitlines()
    pairs = itertools.pairwise(lines)
    return {line.partition("=")[0]: (above, line.partition("=")[2]) for above, line in pairs if "=" in line}


def test_example_lists_every_setting() -> None:
    """`.env.example` has the names, defaults and descriptions of the settings class in the same order."""
    expected = {}
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(getattr(field.default, "value", field.default))
        expected[name.upper()] = (f"# {field.description}", default)
    assert [*examples().items()] == [*expected.items()]


def test_at_most_fifty_settings() -> None:
    """There are at most fifty settings, so that an operator can read them all."""
    assert len(Settings.model_fields) <= 50


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "eighty"), ("web_concurrency", "0"), ("llm_provider", "chatgpt"), ("log_level", "loud")],
)
def test_invalid_setting_is_named(name: str, value: str) -> None:
    """An invalid value stops the start with the setting's name."""
    with pytest.raises(ValidationError) as caught:
        settings(**{name: value})
    assert caught.value.errors()[0]["loc"] == (name,)


@pytest.mark.parametrize(
    ("given", "share"),
    [({}, 256), ({"max_turns_waiting": 7}, 1), ({"max_turns_waiting": 0}, 1), ({"max_turns_waiting_per_user": 9}, 9)],
)
def test_queue_share_of_a_user(given: dict[str, int], share: int) -> None:
    """By default a user may take a quarter of the queue, and at least one place."""
    assert settings(**given).effective_max_turns_waiting_per_user == share


def test_unknown_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of other programs, and empty ones, are ignored."""
    monkeypatch.setenv("PORTS", "many")
    monkeypatch.setenv("PORT", "")
    assert settings().port == 8000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "local"),
        ({"groq_api_key": "g"}, "groq"),
        ({"groq_api_key": "g", "openai_api_key": "o"}, "openai"),
        ({"openai_base_url": "http://localhost:11434/v1"}, "openai"),
        ({"groq_api_key": "g", "openai_api_key": "o", "llm_provider": "GROQ"}, "groq"),
    ],
)
def test_first_key_chooses_the_provider(given: dict[str, str], expected: str) -> None:
    """LLM_PROVIDER decides, then the first key, then a named server, then the embedded model."""
    assert settings(**{"llm_provider": None, **given}).effective_provider == expected


def test_provider_without_its_key() -> None:
    """LLM_PROVIDER without the credentials of that provider is refused."""
    with pytest.raises(ValidationError, match="OPENAI_API_KEY"):
        settings(llm_provider="openai")


def test_keys_are_not_shown() -> None:
    """A key does not appear in printed settings."""
    assert "sk-secret" not in repr(settings(openai_api_key="sk-secret"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", []),
        ("[]", []),
        ("*", ["*"]),
        ("https://app.example", ["https://app.example"]),
        (" https://App.Example:443 , http://localhost:3000, ", ["https://app.example", "http://localhost:3000"]),
        ('["https://app.example", "http://[::1]:80"]', ["https://app.example", "http://[::1]"]),
        ("https://app.example:8443,capacitor://localhost", ["https://app.example:8443", "capacitor://localhost"]),
    ],
)
def test_origins_are_a_list_or_json(monkeypatch: pytest.MonkeyPatch, given: str, expected: list[str]) -> None:
    """CORS_ORIGINS is comma-separated or JSON and becomes the origins that browsers send."""
    monkeypatch.setenv("CORS_ORIGINS", given)
    assert Settings(_env_file=None).cors_origins == expected


@pytest.mark.parametrize(
    "bad",
    [
        "app.example",
        "https://app.example/",
        "https://app.example/path",
        "https://app.example?a",
        "https://*.app.example",
        "https://user:secret@app.example",
        "https://",
        "https://app.example:port",
        "https://b\u00fccher.example",
        "null",
        "https://app.example app.example",
        "https://app.example,localhost:3000",
        "[1]",
        '["https://app.example"',
    ],
)
def test_invalid_origin_is_refused(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    """A value that no browser sends as an origin stops the start and is not repeated."""
    monkeypatch.setenv("CORS_ORIGINS", bad)
    with pytest.raises(ValidationError) as caught:
        Settings(_env_file=None)
    assert caught.value.errors()[0]["loc"][0] == "cors_origins"
    assert "secret" not in str(caught.value)


FURTHER = {"ollama": {"base_url": "http://localhost:11434/v1", "model": "llama3.2:3b"}}


def test_providers_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLM_PROVIDERS is a JSON object of servers by name, each with base URL, model and, if needed, key."""
    key = {"api_key": "sk-secret"}
    monkeypatch.setenv("LLM_PROVIDERS", json.dumps({"ollama": FURTHER["ollama"] | key}))
    monkeypatch.setenv("LLM_PROVIDER", "ollama")
    given = Settings(_env_file=None)
    assert given.providers == ["local", "ollama"]
    assert given.effective_provider == "ollama"
    assert given.llm_providers["ollama"].context_window == 32_768
    assert "sk-secret" not in repr(given)


@pytest.mark.parametrize("value", ["{bad sk-secret", "[]", '"text"', '{"a": 1}'])
def test_providers_that_are_no_object(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """An LLM_PROVIDERS of another form is refused without repeating it, since it may hold keys."""
    monkeypatch.setenv("LLM_PROVIDERS", value)
    with pytest.raises(ValidationError) as caught:
        Settings(_env_file=None)
    assert caught.value.errors()[0]["loc"][0] == "llm_providers"
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "further",
    [
        {"openai": FURTHER["ollama"]},
        {"Ollama": FURTHER["ollama"]},
        {"a b": FURTHER["ollama"]},
        {"a": {"base_url": "http://localhost/v1"}},
        {"a": {"base_url": "ftp://localhost/v1", "model": "m"}},
        {"a": {"base_url": "http://u:p@localhost/v1", "model": "m"}},
        {"a": FURTHER["ollama"] | {"api_key": "two\nlines"}},
        {"a": FURTHER["ollama"] | {"surprise": 1}},
    ],
)
def test_invalid_provider_is_refused(further: dict[str, Any]) -> None:
    """A reserved name, an invalid URL or key and an unknown member in LLM_PROVIDERS stop the start."""
    with pytest.raises(ValidationError) as caught:
        settings(llm_providers=further)
    assert caught.value.errors()[0]["loc"][0] == "llm_providers"


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1:8080",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "0.0.0.0",
        "2852039166",
        "0xA9FEA9FE",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "0",
        "168.63.129.16",
        "[::169.254.169.254]",
        "[::ffff:0:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "metadata.google.internal",
        "METADATA.google.internal.",
    ],
)
@pytest.mark.parametrize("name", ["openai_base_url", "groq_base_url"])
def test_metadata_address_is_refused(host: str, name: str) -> None:
    """A base URL at a link-local or metadata address is refused, however the address is written."""
    with pytest.raises(ValidationError, match="link-local or metadata") as caught:
        settings(**{name: f"http://{host}/v1"})
    assert caught.value.errors()[0]["loc"] == (name,)


@pytest.mark.parametrize("host", ["%31%36%39.254.169.254", "host name", "host:99999", "host:port"])
def test_ambiguous_base_url_is_refused(host: str) -> None:
    """A host with escapes or spaces, which URL parsers read differently, and an invalid port are refused."""
    with pytest.raises(ValidationError, match="is not a valid URL"):
        settings(openai_base_url=f"http://{host}/v1")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.0.0.5", "192.168.1.2", "[::1]", "api.example.com"])
def test_private_base_url_is_accepted(host: str) -> None:
    """OPENAI_BASE_URL may be on this machine or in a private network."""
    assert settings(openai_base_url=f"http://{host}:8080/v1").openai_base_url is not None


def test_blank_base_url_is_unset() -> None:
    """A blank base URL counts as unset."""
    given = settings(openai_base_url=" ", groq_base_url="")
    assert (given.openai_base_url, given.groq_base_url) == (None, None)


def test_fallbacks() -> None:
    """Each fallback is a provider with or without a model, whose name may hold slashes and colons."""
    given = settings(
        llm_fallbacks="groq:openai/gpt-oss-120b, ollama:a:b,local", groq_api_key="g", llm_providers=FURTHER
    )
    assert given.fallbacks == [("groq", "openai/gpt-oss-120b"), ("ollama", "a:b"), ("local", None)]


@pytest.mark.parametrize("fallbacks", ["groq", "gpt-5-mini", "local,nobody"])
def test_unusable_fallback_is_refused(fallbacks: str) -> None:
    """A fallback that is unknown or has no key is refused with the list of providers."""
    with pytest.raises(ValidationError, match="LLM_FALLBACKS names"):
        settings(llm_fallbacks=fallbacks)


@pytest.mark.parametrize(
    "named",
    [
        {"llm_fallbacks": "local:gpt-5"},
        {"llm_fallbacks": "openai,scripted:gpt-5"},
        {"title_model": "local:gpt-5"},
        {"llm_model": "gpt-5", "llm_provider": "scripted"},
        {"title_model": "nobody:gpt-5", "llm_provider": "scripted"},
    ],
)
def test_unknown_model_is_refused(named: dict[str, str]) -> None:
    """A model that its provider does not have is refused by the setting's name with the models that exist."""
    with pytest.raises(ValidationError, match=f"{next(iter(named)).upper()} names '.*gpt-5': (local|scripted) has "):
        settings(**{"openai_api_key": "k", **named})


def test_known_models_are_accepted(tmp_path: Path) -> None:
    """Remote providers may have any model, the embedded one that of its file; LLM_MODEL does not apply to it."""
    file = tmp_path / "own.gguf"
    settings(llm_fallbacks="openai:any,local:own,scripted:slow", openai_api_key="k", local_model_path=file)
    settings(llm_provider="local", llm_model="any", title_model="smollm2-135m-instruct")
    settings(llm_provider="openai", openai_api_key="k", title_model="ollama:any", llm_providers=FURTHER)


SERVER = {"tei": {"base_url": "http://127.0.0.1:1/v1", "model": "chat"}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"embedding_provider": "elsewhere"}, "must be one of local, openai, none"),
        (
            {"embedding_provider": None, "embedding_model": "nomic"},
            "EMBEDDING_MODEL names .*: local has minilm, multilingual",
        ),
        ({"embedding_provider": "local", "embedding_model": "bge"}, "EMBEDDING_MODEL names 'bge'"),
        ({"embedding_provider": "openai"}, "set OPENAI_API_KEY or OPENAI_BASE_URL"),
        ({"embedding_provider": "tei", "llm_providers": SERVER}, "set EMBEDDING_MODEL"),
        ({"rerank_model": "judge"}, "must be provider:model"),
        ({"rerank_model": "tei:", "llm_providers": SERVER}, "must be provider:model"),
    ],
)
def test_embedder_and_reranker_are_checked(given: dict[str, Any], says: str) -> None:
    """An embedder or reranker that cannot work stops the start with the reason."""
    with pytest.raises(ValidationError, match=says):
        settings(**given)


def test_chat_model_is_checked_first() -> None:
    """If the chat provider and the embedder both lack a key, the error names the chat provider."""
    with pytest.raises(ValidationError, match="LLM_FALLBACKS names 'groq'"):
        settings(embedding_provider="openai", llm_fallbacks="groq")
    with pytest.raises(ValidationError, match="LLM_PROVIDER is groq"):
        settings(embedding_provider="openai", llm_provider="groq")


async def test_settings_choose_the_embedder() -> None:
    """The embedded model is the default embedder, another is chosen by name, and `none` means words only."""
    openai = {"embedding_provider": "openai", "openai_api_key": "k"}
    further = {"embedding_provider": "TEI", "embedding_model": "bge", "llm_providers": SERVER}
    names: dict[str, dict[str, Any]] = {
        "local:all-MiniLM-L6-v2-int8": {"embedding_provider": None},
        "local:multilingual-e5-small-q4": {"embedding_provider": None, "embedding_model": "multilingual"},
        "openai:text-embedding-3-small": openai,
        "tei:bge": further,
    }
    for name, given in names.items():
        embedder = embedder_of(settings(**given))
        assert embedder is not None
        assert embedder.name == name
        await embedder.aclose()
    assert embedder_of(settings(embedding_provider="none")) is None
    assert reranker_of(settings()) is None
    assert reranker_of(settings(rerank_model="tei:judge", llm_providers=SERVER)) is not None
