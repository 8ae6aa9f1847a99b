from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from app.errors import ProviderAuth, TurnFailed
from app.http.openai_client import OPENAI_URL, openai_client
from app.http.sdk_client import SdkClient, read_up_to
from app.llm.providers.model_list import MAX_LIST_BYTES, MAX_LOGGED_MODELS, parse_model_list
from app.llm.providers.optional_parameters import OLD_NAME, is_openai_or_azure
from app.llm.providers.sdk import CONNECT_SECONDS, SdkModel, request_errors, stream_errors
from app.llm.providers.spec import COMPLETIONS_PATH, VERSION_IN_PATH, Endpoint, ModelOptions, ProviderSpec, Server
from app.setting_types import BaseUrl, Key, OptionalBaseUrl, OptionalKey

LIST_SECONDS = 5.0
LIST_RETRY_SECONDS = 5.0

NAME = "openai"

log = logging.getLogger(__name__)


class OpenAISettings(BaseModel):
    """The settings of OpenAI, or of the server that takes its place."""

    openai_api_key: OptionalKey = Field(None, description="Key for OpenAI, or for the server at OPENAI_BASE_URL.")
    openai_base_url: OptionalBaseUrl = Field(
        None,
        description="Base URL of a server with OpenAI's API, such as http://localhost:11434/v1; default: OpenAI's own.",
    )


class CompatibleServer(BaseModel):
    """A server with OpenAI's API: an entry of LLM_PROVIDERS."""

    model_config = ConfigDict(extra="forbid")

    base_url: BaseUrl
    api_key: Key | None = None
    model: str = Field(min_length=1)
    context_window: int = Field(32_768, ge=256)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.api_key, self.base_url)


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
        name: str = NAME,
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

    def build_client(self) -> SdkClient:
        return openai_client(self._api_key, self._base_url, self._connect_seconds)


def build(settings: OpenAISettings, options: ModelOptions) -> OpenAIModel:
    """Build the provider; a server that is not OpenAI's lists its models, unless LLM_MODEL names one."""
    key, base_url = endpoint(settings).key_text, settings.openai_base_url
    discover = base_url is not None and not is_openai_or_azure(base_url) and not options.is_named
    return OpenAIModel(
        key, base_url, options.model, options.context_window, options.connect_seconds, discover_model=discover
    )


def build_compatible(name: str, server: CompatibleServer, options: ModelOptions) -> OpenAIModel:
    """Build the provider for an entry of LLM_PROVIDERS."""
    window = options.context_window or server.context_window
    return OpenAIModel(server.endpoint.key_text, server.base_url, options.model, window, options.connect_seconds, name)


def endpoint(settings: OpenAISettings) -> Endpoint:
    return Endpoint(settings.openai_api_key, settings.openai_base_url)


def path_warnings(setting: str, base_url: str) -> Iterator[str]:
    """Warn about a base URL whose path is too long, or has no version."""
    path = urlsplit(base_url).path
    if path.endswith(COMPLETIONS_PATH):
        yield f"{setting} ends in {COMPLETIONS_PATH}, which the service adds itself: remove it"
    elif VERSION_IN_PATH.search(path) is None:
        yield f"{setting} has no /v1: most servers have their API at {base_url}/v1"


SPEC: ProviderSpec[OpenAISettings] = ProviderSpec(
    name=NAME,
    default_model="gpt-5-mini",
    build=build,
    requirement="OPENAI_API_KEY or OPENAI_BASE_URL",
    server=Server(
        endpoint=endpoint,
        key_setting="OPENAI_API_KEY",
        base_url_setting="OPENAI_BASE_URL",
        default_base_url=OPENAI_URL,
        path_warnings=path_warnings,
        needs_key=False,
        embedding_model="text-embedding-3-small",
    ),
    loggers=("openai",),
)
