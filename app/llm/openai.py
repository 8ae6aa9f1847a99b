from __future__ import annotations

from typing import Any, ClassVar

from app.llm.clients import client_of, client_options, quieten
from app.llm.parameters import OLD_NAME, is_azure, is_openai
from app.llm.sdk import CONNECT_SECONDS, Sdk, SdkModel

OPENAI_URL = "https://api.openai.com/v1"


class OpenAIModel(SdkModel):
    """OpenAI, or any server that speaks its wire at another base URL (which ends in `/v1`)."""

    path = "chat/completions"
    own_base_url = OPENAI_URL
    request_extras: ClassVar[dict[str, Any]] = {"stream_options": {"include_usage": True}}

    def __init__(
        self,
        api_key: str,
        base_url: str | None,
        default_model: str,
        context_window: int | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        name: str = "openai",
    ) -> None:
        if base_url is not None and not (is_openai(base_url) or is_azure(base_url)):
            self.max_tokens_name = OLD_NAME
        super().__init__(api_key, base_url, default_model, context_window, connect_seconds)
        self.name = name

    def _build(self) -> Sdk:
        import httpx2
        import openai

        client = openai_client(self._api_key, self._base_url, self._connect_seconds)
        return Sdk(client, openai, httpx2, self.path)


def openai_client(api_key: str, base_url: str | None, connect_seconds: float) -> Any:
    """The SDK's client, with nothing left of its own retries, redirects and time-outs; blocks while it is imported."""
    import httpx2
    import openai
    from httpx_aiohttp.httpx2 import AiohttpTransport

    quieten("openai")
    base_url = base_url or OPENAI_URL
    options = client_options(httpx2, openai.DefaultAioHttpClient, AiohttpTransport, connect_seconds, base_url)
    return client_of(openai.AsyncOpenAI, is_openai(base_url), api_key=api_key, **options)
