"""The environment of an adapter: proxies, certificates, and none of the SDKs' own variables."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import ProviderUnavailable, TurnFailed
from app.factories import client_of
from app.http.openai_client import openai_client
from app.llm.base import ChatModel
from app.llm.providers.groq import GroqModel
from app.llm.providers.openai import OpenAIModel
from app.llm.providers.sdk import SdkModel
from app.rag.models.openai_embedder import OpenAIEmbedder
from tests.support.clock import run
from tests.support.provider import FakeProvider
from tests.support.replies import Reply, Response
from tests.support.routing import (
    KEY,
    RouterHarness,
    adapter,
    error_of,
    harness_of,
    run_with_adapter,
    seconds,
    target_of,
)
from tests.support.service import settings
from tests.support.tunnels import self_signed, tunnelling

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
SECRET = "Hu7wB4mNx2secret"
FOREIGN = {
    "OPENAI_ORG_ID": SECRET,
    "OPENAI_PROJECT_ID": SECRET,
    "OPENAI_ADMIN_KEY": SECRET,
    "OPENAI_WEBHOOK_SECRET": SECRET,
    "OPENAI_CUSTOM_HEADERS": f"X-Custom: {SECRET}\nAuthorization: Bearer {SECRET}",
    "GROQ_CUSTOM_HEADERS": f"X-Custom: {SECRET}\nAuthorization: Bearer {SECRET}",
}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Unset the proxies of the environment."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    yield


def test_sdk_variables_reach_no_other_server(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Organisation, project, keys and headers for OpenAI or Groq are not sent to another server."""
    for variable, value in FOREIGN.items():
        monkeypatch.setenv(variable, value)

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        await complete()
        [call] = provider.calls
        assert call.headers["authorization"] == f"Bearer {KEY}"
        assert not [header for header, value in call.headers.items() if SECRET in value]
        assert not {"openai-organization", "openai-project", "x-custom"} & call.headers.keys()

    run_with_adapter(name, scenario)


def test_sdk_variables_reach_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's own host gets the organisation and project of the environment."""
    for variable, value in FOREIGN.items():
        monkeypatch.setenv(variable, value)

    async def main() -> None:
        async with FakeProvider() as provider:
            monkeypatch.setenv("HTTP_PROXY", provider.groq_base_url)
            async with harness_of(OpenAIModel(KEY, "http://api.openai.com/v1", "gpt")) as harness:
                await harness.reply(target_of(harness.router.catalog.default))
            [call] = provider.calls
            assert (call.headers["openai-organization"], call.headers["openai-project"]) == (SECRET, SECRET)

    run(main())


def test_sdk_base_url_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter without a base URL calls the provider's own, whatever the SDKs' variables are."""
    for value in ("", "http://127.0.0.1:9/v1"):
        monkeypatch.setenv("OPENAI_BASE_URL", value)
        monkeypatch.setenv("GROQ_BASE_URL", value)
        assert url_of(OpenAIModel(KEY, None, "gpt")) == "https://api.openai.com/v1/chat/completions"
        assert url_of(GroqModel(KEY, None, "oss")) == "https://api.groq.com/openai/v1/chat/completions"
        assert openai_client(KEY, None, 5).base_url == "https://api.openai.com/v1"


def url_of(model: SdkModel) -> str:
    """Return the URL of chat completions."""
    return f"{model.build_client().base_url}/{model.path}"


@pytest.mark.parametrize("path", ["", "/", "/openai/v1", "/openai/v1/"])
def test_groq_path_is_not_doubled(path: str) -> None:
    """A base URL for Groq may have the path that its SDK adds."""

    async def main() -> None:
        async with (
            FakeProvider() as provider,
            harness_of(GroqModel(KEY, f"{provider.groq_base_url}{path}", "oss")) as harness,
        ):
            await harness.reply(target_of(harness.router.catalog.default))
            assert [call.target for call in provider.calls] == ["/openai/v1/chat/completions"]

    run(main())


def model_at(name: str, base_url: str) -> ChatModel:
    """Return an adapter for a server with a name that only a proxy resolves."""
    return GroqModel(KEY, base_url, "oss") if name == "groq" else OpenAIModel(KEY, f"{base_url}/v1", "gpt", name=name)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_resolves_names(
    name: str, variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An HTTP request goes to the proxy with its credentials, which are in no log."""
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        async with FakeProvider() as proxy:
            monkeypatch.setenv(variable, f"http://user:{SECRET}%40@127.0.0.1:{proxy.port}")
            async with harness_of(model_at(name, "http://provider.example")) as harness:
                await harness.reply(target_of(harness.router.catalog.default))
                proxy.default = Response(407, b"{}")
                await error_of(lambda: harness.reply(target_of(harness.router.catalog.default)))
            first = proxy.calls[0]
            assert first.target.startswith("http://provider.example/")
            assert first.headers["host"] == "provider.example"
            assert first.headers["proxy-authorization"] == basic(f"user:{SECRET}@")

    run(main())
    assert SECRET not in caplog.text


def basic(credentials: str) -> str:
    """Return the header value for credentials (RFC 7617)."""
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def test_no_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of NO_PROXY is called without the proxy."""

    async def main() -> None:
        async with FakeProvider() as proxy, FakeProvider() as provider:
            monkeypatch.setenv("ALL_PROXY", proxy.groq_base_url)
            monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.0/8")
            async with harness_of(adapter(name, provider)) as harness:
                await harness.reply(target_of(harness.router.catalog.default))
            assert (len(proxy.calls), len(provider.calls)) == (0, 1)

    run(main())


def test_https_is_tunnelled(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An https:// URL is called through CONNECT; only the proxy gets the proxy's credentials."""
    caplog.set_level(logging.DEBUG)
    tls, trusted = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))

    async def main() -> None:
        async with FakeProvider(tls) as provider, tunnelling(provider.port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{proxy.port}")
            async with harness_of(model_at(name, "https://provider.example")) as harness:
                await harness.reply(target_of(harness.router.catalog.default))
            [head] = proxy.heads
            assert head.startswith("CONNECT provider.example:443 ")
            assert basic(f"user:{SECRET}") in head
            assert KEY not in head
            assert "proxy-authorization" not in provider.calls[0].headers

    run(main())
    assert SECRET not in caplog.text


@pytest.mark.parametrize("refusal", [b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", None])
def test_proxy_failure_is_named(name: str, refusal: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure names a proxy that refuses a tunnel or is out of reach."""

    async def main() -> None:
        async with tunnelling(9, refusal or b"") as proxy:
            port = proxy.port if refusal else 9
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{port}")
            async with harness_of(model_at(name, "https://provider.example")) as harness:
                error = await error_of(lambda: harness.reply(target_of(harness.router.catalog.default)))
            assert isinstance(error, ProviderUnavailable)
            assert "proxy" in error.detail
            assert SECRET not in error.detail

    run(main())


def test_untrusted_certificate_is_named(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The failure names the certificate, the log has the reason, and there is no retry."""
    tls, _ = self_signed(tmp_path)

    async def main() -> None:
        async with FakeProvider(tls) as provider, harness_of(adapter(name, provider)) as harness:
            error = await error_of(lambda: harness.reply(target_of(harness.router.catalog.default)))
            assert (error.code, "certificate" in error.detail) == ("provider-unavailable", True)
            assert harness.outcomes == [(name, "provider-unavailable")]
            assert seconds() == 0

    run(main())
    [record] = [each for each in caplog.records if "certificate" in each.message]
    assert "self-signed" in vars(record)["why"]


def test_untrusted_certificate_uses_fallback(tmp_path: Path) -> None:
    """The fallback is called at once."""
    tls, _ = self_signed(tmp_path)

    async def main() -> None:
        async with FakeProvider(tls) as first, FakeProvider() as second:
            models = adapter("openai", first), adapter("groq", second)
            async with harness_of(*models, fallbacks=[target_of(models[1])]) as harness:
                await harness.reply(target_of(models[0]))
                assert harness.outcomes == [("openai", "provider-unavailable"), ("groq", "completed")]

    run(main())


async def test_embedder_uses_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings are requested through the proxy too, without the SDK's own variables."""
    for variable, value in FOREIGN.items():
        monkeypatch.setenv(variable, value)
    async with FakeProvider() as proxy:
        proxy.further_paths.add("/v1/embeddings")
        proxy.default = Response(200, b'{"data": [{"index": 0, "embedding": [1.0, 0.0]}]}')
        monkeypatch.setenv("HTTP_PROXY", proxy.groq_base_url)
        configured = settings(openai_base_url="http://provider.example/v1", openai_api_key=KEY)
        embedder = OpenAIEmbedder("openai", "small", client_of(configured, "openai"))
        await embedder.embed_query("Hello")
        await embedder.aclose()
        [call] = proxy.calls
    assert call.target == "http://provider.example/v1/embeddings"
    assert not [header for header, value in call.headers.items() if SECRET in value]


def test_sdk_logs_nothing(name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """OPENAI_LOG and GROQ_LOG, with which the SDKs log requests and headers, have no effect."""
    logger = logging.getLogger("groq" if name == "groq" else "openai")
    monkeypatch.setenv(f"{logger.name.upper()}_LOG", "debug")
    caplog.set_level(logging.DEBUG, logger.name)

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        provider.default = Reply(["Hi"])
        await complete()

    run_with_adapter(name, scenario)
    assert not [record for record in caplog.records if record.name.startswith(logger.name)]


def test_failure_without_proxy_names_none(name: str) -> None:
    """The failure of a server that is out of reach without a proxy names no proxy."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        await provider.stop_listening()
        error = await error_of(complete)
        assert isinstance(error, TurnFailed)
        assert "proxy" not in error.detail

    run_with_adapter(name, scenario)
