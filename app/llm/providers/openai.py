from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

from app.errors import ProviderAuth, TurnFailed
from app.http.openai_client import client_of, client_options, quieten
from app.llm.providers.model_list import MAX_LIST_BYTES, MAX_NAMED, models_in
from app.llm.providers.optional_parameters import OLD_NAME, is_openai, is_own
from app.llm.providers.sdk import CONNECT_SECONDS, Sdk, SdkModel, opening, reading

OPENAI_URL = "https://api.openai.com/v1"

LIST_SECONDS = 5.0
PAUSE_SECONDS = 5.0
"""Between two attempts to fetch a list."""

log = logging.getLogger(__name__)


class OpenAIModel(SdkModel):
    """OpenAI, or any server that speaks its wire at another base URL (which ends in `/v1`).

    Args:
        api_key: The key, or any text for a server without keys.
        base_url: The server's address; OpenAI's own when None.
        default_model: The model that answers when none is named.
        context_window: Tokens that it takes, where that is configured.
        connect_seconds: How long connecting may take.
        name: The provider's name.
        listing: Whether the first model that the server lists takes the default one's place.
    """

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
        *,
        listing: bool = False,
    ) -> None:
        if base_url is not None and not is_own(base_url):
            self.max_tokens_name = OLD_NAME
        super().__init__(api_key, base_url, default_model, context_window, connect_seconds)
        self.name = name
        self._listing = listing
        self._lock = asyncio.Lock()
        self._next_try = 0.0

    async def prepare(self) -> None:
        """See `ChatModel.prepare`: fetches the server's list of models, unless one is configured."""
        if not self._listing:
            return
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._listing and now >= self._next_try:
                self._next_try = now + PAUSE_SECONDS
                await self._choose()

    async def _choose(self) -> None:
        """Takes the first model of the server's list; a list that cannot be fetched now is fetched again later."""
        try:
            async with asyncio.timeout(LIST_SECONDS):
                found = models_in(await self._list())
        except TurnFailed as failure:
            self._listing = failure.transient or isinstance(failure, ProviderAuth)
            log.warning("a server does not list its models", extra={"provider": self.name, "code": failure.code})
            return
        except TimeoutError:
            log.warning("a server does not list its models in time", extra={"provider": self.name})
            return
        self._listing = False
        if not found:
            log.warning("a server lists no models", extra={"provider": self.name})
            return
        self.default_model = found[0]
        chosen = {"provider": self.name, "model": found[0]}
        if len(found) == 1:
            log.info("the server's model answers", extra=chosen)
        else:
            others = found[1:MAX_NAMED]
            log.warning("the first of several models answers; LLM_MODEL chooses", extra=chosen | {"others": others})

    async def _list(self) -> bytes:
        sdk = await self._built()
        with opening(sdk):
            response = await sdk.client.get(
                f"{self._base_url.rstrip('/')}/models",
                cast_to=sdk.http.Response,
                options={"headers": {"Accept": "application/json"}},
                stream=True,
                stream_cls=sdk.errors.AsyncStream,
            )
        content = bytearray()
        try:
            with reading(sdk):
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > MAX_LIST_BYTES:
                        break
        finally:
            await response.aclose()
        return bytes(content)

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
