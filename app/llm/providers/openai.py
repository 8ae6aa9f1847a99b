from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

from app.errors import ProviderAuth, TurnFailed
from app.http.openai_client import OPENAI_URL, openai_client
from app.http.sdk_client import SdkClient, read_up_to
from app.llm.providers.model_list import MAX_LIST_BYTES, MAX_LOGGED_MODELS, parse_model_list
from app.llm.providers.optional_parameters import OLD_NAME, is_openai_or_azure
from app.llm.providers.sdk import CONNECT_SECONDS, SdkModel, request_errors, stream_errors

LIST_SECONDS = 5.0
LIST_RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class OpenAIModel(SdkModel):
    """OpenAI, or any server with its API at another base URL (which ends in `/v1`).

    Args:
        api_key: The key, or any text for a server without keys.
        base_url: The server's address; OpenAI's own when None.
        default_model: The model for turns that name none.
        context_window: The default model's window in tokens; None for the one known by its name.
        connect_seconds: Limit for connecting.
        name: The provider's name.
        discover_model: Whether the first model of the server's list replaces the default one.
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
        discover_model: bool = False,
    ) -> None:
        if base_url is not None and not is_openai_or_azure(base_url):
            self.max_tokens_name = OLD_NAME
        super().__init__(api_key, base_url, default_model, context_window, connect_seconds)
        self.name = name
        self._discover_model = discover_model
        self._discovering = asyncio.Lock()
        self._next_attempt = 0.0

    async def prepare(self) -> None:
        """Discover the default model where none is configured; at most one request in `LIST_RETRY_SECONDS`."""
        if not self._discover_model:
            return
        async with self._discovering:
            now = asyncio.get_running_loop().time()
            if self._discover_model and now >= self._next_attempt:
                self._next_attempt = now + LIST_RETRY_SECONDS
                await self._discover()

    async def _discover(self) -> None:
        """Make the first listed model the default one; a list that cannot be fetched now is fetched again later."""
        try:
            async with asyncio.timeout(LIST_SECONDS):
                listed = parse_model_list(await self._fetch_model_list())
        except TurnFailed as failure:
            self._discover_model = failure.transient or isinstance(failure, ProviderAuth)
            log.warning("a server does not list its models", extra={"provider": self.name, "code": failure.code})
            return
        except TimeoutError:
            log.warning("a server does not list its models in time", extra={"provider": self.name})
            return
        self._discover_model = False
        if not listed:
            log.warning("a server lists no models", extra={"provider": self.name})
            return
        self.default_model = listed[0]
        chosen = {"provider": self.name, "model": listed[0]}
        if len(listed) == 1:
            log.info("the server's model answers", extra=chosen)
        else:
            others = listed[1:MAX_LOGGED_MODELS]
            log.warning("the first of several models answers; LLM_MODEL chooses", extra=chosen | {"others": others})

    async def _fetch_model_list(self) -> bytes:
        client = await self._client.get()
        with request_errors(client):
            response = await client.get("models")
        with stream_errors(client):
            return await read_up_to(response, MAX_LIST_BYTES)

    def _build_client(self) -> SdkClient:
        return openai_client(self._api_key, self._base_url, self._connect_seconds)
