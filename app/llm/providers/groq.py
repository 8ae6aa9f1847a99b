from __future__ import annotations

from app.http.openai_client import client_of, client_options, quieten
from app.llm.providers.sdk import Sdk, SdkModel

PATH = "openai/v1"


class GroqModel(SdkModel):
    """Groq; its base URL has no path, since the SDK's own paths do. One that has theirs is taken without it."""

    name = "groq"
    path = f"{PATH}/chat/completions"
    own_base_url = "https://api.groq.com"

    async def prepare(self) -> None:
        """See `ChatModel.prepare`: there is nothing to find out."""

    def _build(self) -> Sdk:
        import groq
        import httpx
        from httpx_aiohttp import AiohttpTransport

        quieten("groq")
        base_url = without_path(self._base_url)
        options = client_options(httpx, groq.DefaultAioHttpClient, AiohttpTransport, self._connect_seconds, base_url)
        client = client_of(groq.AsyncGroq, base_url == self.own_base_url, api_key=self._api_key, **options)
        return Sdk(client, groq, httpx, self.path)


def without_path(base_url: str) -> str:
    """A base URL without the path that the SDK adds."""
    return base_url.rstrip("/").removesuffix(f"/{PATH}")
