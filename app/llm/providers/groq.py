from __future__ import annotations

from app.http.sdk_client import SdkClient, build_client, client_options, quieten
from app.llm.providers.sdk import SdkModel

PATH = "openai/v1"


class GroqModel(SdkModel):
    """Groq; its base URL has no path, because the SDK's own paths have it. One with that path is accepted."""

    name = "groq"
    path = f"{PATH}/chat/completions"
    own_base_url = "https://api.groq.com"

    async def prepare(self) -> None: ...

    def _build_client(self) -> SdkClient:
        import groq
        import httpx
        from httpx_aiohttp import AiohttpTransport

        quieten("groq")
        base_url = without_path(self._base_url)
        options = client_options(httpx, groq.DefaultAioHttpClient, AiohttpTransport, self._connect_seconds, base_url)
        client = build_client(groq.AsyncGroq, base_url == self.own_base_url, api_key=self._api_key, **options)
        return SdkClient(client, groq, httpx)


def without_path(base_url: str) -> str:
    """Return a base URL without the path that the SDK adds."""
    return base_url.rstrip("/").removesuffix(f"/{PATH}")
