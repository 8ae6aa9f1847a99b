from __future__ import annotations

from typing import Any, ClassVar

from app.llm.sdk import Sdk, SdkModel, client_options


class OpenAIModel(SdkModel):
    """OpenAI, or any server that speaks its wire at another base URL (which ends in `/v1`)."""

    name = "openai"
    path = "chat/completions"
    request_extras: ClassVar[dict[str, Any]] = {"stream_options": {"include_usage": True}}

    def __init__(self, api_key: str, base_url: str | None, default_model: str) -> None:
        super().__init__(api_key, base_url, default_model)
        if base_url is not None:
            # OpenAI's reasoning models refuse the old name; many compatible servers know only that one.
            self.max_tokens_field = "max_tokens"

    def _build(self) -> Sdk:
        import httpx2
        import openai

        options = client_options(httpx2, openai.DefaultAioHttpClient)
        client = openai.AsyncOpenAI(api_key=self._api_key, base_url=self._base_url, **options)
        return Sdk(client, openai, httpx2, self.path)
