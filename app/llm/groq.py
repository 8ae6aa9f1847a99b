from __future__ import annotations

from app.llm.sdk import Sdk, SdkModel, client_options


class GroqModel(SdkModel):
    """Groq; its base URL has no path, since the SDK's own paths do."""

    name = "groq"
    path = "openai/v1/chat/completions"

    def _build(self) -> Sdk:
        import groq
        import httpx
        from httpx_aiohttp import AiohttpTransport

        options = client_options(httpx, groq.DefaultAioHttpClient, AiohttpTransport, self._connect_seconds)
        client = groq.AsyncGroq(api_key=self._api_key, base_url=self._base_url, **options)
        return Sdk(client, groq, httpx, self.path)
