from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from app.preflight import startup_errors, startup_warnings
from tests.support.service import settings

FURTHER = {"ollama": {"base_url": "http://localhost:11434/v1", "model": "llama3.2:3b"}}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all variables that name a proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def named(**given: Any) -> Any:
    """Return settings that name no provider unless one is given."""
    return settings(**{"llm_provider": None, **given})


def test_usable_provider_passes() -> None:
    """A key, an own server, the embedded model and the scripted one are each enough to start."""
    for given in (
        {},
        {"openai_api_key": "k"},
        {"openai_base_url": "http://localhost:1/v1"},
        {"llm_provider": "ollama", "llm_providers": FURTHER},
        {"llm_provider": "scripted"},
    ):
        assert (startup_errors(named(**given)), [*startup_warnings(named(**given))]) == ([], [])


def test_missing_model_file(tmp_path: Path) -> None:
    """A LOCAL_MODEL_PATH without a file stops the start if no other provider is set, otherwise it is a warning."""
    missing = tmp_path / "missing.gguf"
    [reason] = startup_errors(named(local_model_path=missing))
    assert reason.startswith("LOCAL_MODEL_PATH")
    assert str(missing) in reason
    for given in (
        {"openai_api_key": "k"},
        {"llm_fallbacks": "ollama", "llm_providers": FURTHER},
    ):
        assert startup_errors(named(local_model_path=missing, **given)) == []
        assert "LOCAL_MODEL_PATH" in " ".join(startup_warnings(named(local_model_path=missing, **given)))


def test_no_provider_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key and without the embedded model the start is refused with the settings that would help."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    [reason] = startup_errors(named())
    assert all(name in reason for name in ("OPENAI_API_KEY", "GROQ_API_KEY", "OPENAI_BASE_URL", "local"))
    assert startup_errors(named(groq_api_key="k")) == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"openai_api_key": "k"}, "OPENAI_API_KEY"),
        ({"openai_base_url": "https://a.example/v1"}, "OPENAI_BASE_URL"),
        ({"groq_api_key": "k"}, "GROQ_API_KEY"),
        ({"llm_providers": {"far": {"base_url": "https://a.example/v1", "model": "m"}}}, "LLM_PROVIDERS.far"),
    ],
)
def test_socks_proxy_stops_the_start(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], name: str) -> None:
    """A SOCKS proxy for a provider's address stops the start; if NO_PROXY exempts it, it does not."""
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080")
    [reason] = startup_errors(named(**given))
    assert reason.startswith(f"{name}: ALL_PROXY is a SOCKS proxy")
    assert "secret" not in reason
    monkeypatch.setenv("NO_PROXY", "*")
    assert startup_errors(named(**given)) == []
    monkeypatch.delenv("NO_PROXY")
    assert startup_errors(settings()) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"openai_base_url": "http://localhost:11434"}, "OPENAI_BASE_URL has no /v1"),
        ({"openai_base_url": "http://localhost:11434/api/"}, "OPENAI_BASE_URL has no /v1"),
        ({"openai_base_url": "http://a.example/v1/chat/completions"}, "OPENAI_BASE_URL ends in /chat/completions"),
        ({"llm_providers": {"far": {"base_url": "https://a.example", "model": "m"}}}, "LLM_PROVIDERS.far has no /v1"),
        ({"groq_api_key": "k", "groq_base_url": "https://api.groq.com/openai/v1/"}, "GROQ_BASE_URL ends in /openai/v1"),
        ({"groq_api_key": "k", "groq_base_url": "https://api.groq.com/openai"}, "GROQ_BASE_URL has the path /openai,"),
        ({"groq_api_key": "k", "groq_base_url": "https://a.example/groq/v1/"}, "GROQ_BASE_URL has the path /groq/v1,"),
        (
            {"groq_api_key": "k", "groq_base_url": "https://api.groq.com/openai/v1/chat/completions"},
            "GROQ_BASE_URL has the path /openai/v1/chat/completions,",
        ),
    ],
)
def test_suspicious_base_url_is_a_warning(given: dict[str, Any], says: str) -> None:
    """A base URL with a missing or superfluous path is a warning at the start."""
    configured = named(**given)
    assert startup_errors(configured) == []
    [remark] = startup_warnings(configured)
    assert remark.startswith(says)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com/v1/",
        "https://generativelanguage.googleapis.com/v1beta/openai/",
        "https://openrouter.ai/api/v1",
        "https://r.openai.azure.com/openai/v1",
        "https://api.groq.com/openai/v1",
        "https://open.bigmodel.cn/api/paas/v4",
    ],
)
def test_documented_base_urls_pass(base_url: str) -> None:
    """The documented base URLs of providers give no warning."""
    assert [*startup_warnings(named(openai_base_url=base_url))] == []


def test_proxy_for_loopback_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for a server on this machine is a warning that names NO_PROXY."""
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@proxy:3128")
    [remark] = startup_warnings(named(openai_base_url="http://localhost:11434/v1"))
    assert "NO_PROXY" in remark
    assert "secret" not in remark
