from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from app.http.sdk_client import SdkClient, build_client, client_options, silence_logger
from app.llm.providers.sdk import SdkModel
from app.llm.providers.spec import COMPLETIONS_PATH, VERSION_IN_PATH, Endpoint, ModelOptions, ProviderSpec, Server
from app.setting_types import OptionalBaseUrl, OptionalKey

PATH = "openai/v1"


class GroqSettings(BaseModel):
    """Groq's settings."""

    groq_api_key: OptionalKey = Field(None, description="Key for Groq.")
    groq_base_url: OptionalBaseUrl = Field(
        None, description="Base URL of a server with Groq's API, without its path /openai/v1; default: Groq's own."
    )


class GroqModel(SdkModel):
    """Groq; its base URL has no path, because the SDK's own paths have it. One with that path is accepted."""

    name = "groq"
    path = f"{PATH}/chat/completions"
    own_base_url = "https://api.groq.com"

    async def prepare(self) -> None: ...

    def build_client(self) -> SdkClient:
        import groq
        import httpx
        from httpx_aiohttp import AiohttpTransport

        silence_logger("groq")
        base_url = without_path(self._base_url)
        options = client_options(httpx, groq.DefaultAioHttpClient, AiohttpTransport, self._connect_seconds, base_url)
        client = build_client(groq.AsyncGroq, base_url == self.own_base_url, api_key=self._api_key, **options)
        return SdkClient(client, groq, httpx)


def without_path(base_url: str) -> str:
    """Return a base URL without the path that the SDK adds."""
    return base_url.rstrip("/").removesuffix(f"/{PATH}")


def build(settings: GroqSettings, options: ModelOptions) -> GroqModel:
    key, base_url = endpoint(settings).key_text, settings.groq_base_url
    return GroqModel(key, base_url, options.model, options.context_window, options.connect_seconds)


def endpoint(settings: GroqSettings) -> Endpoint:
    return Endpoint(settings.groq_api_key, settings.groq_base_url)


def path_warnings(setting: str, base_url: str) -> Iterator[str]:
    """Warn about a base URL that has a path already."""
    path = urlsplit(base_url).path
    if path.endswith(f"/{PATH}"):
        yield f"{setting} ends in /{PATH}, which the service adds itself; it is ignored here"
    elif path.endswith((COMPLETIONS_PATH, "/openai")) or VERSION_IN_PATH.search(path):
        yield f"{setting} has the path {path}, and the service adds /{PATH} to it: set the address without a path"


SPEC: ProviderSpec[GroqSettings] = ProviderSpec(
    name=GroqModel.name,
    default_model="openai/gpt-oss-120b",
    build=build,
    requirement="GROQ_API_KEY",
    server=Server(
        endpoint=endpoint,
        key_setting="GROQ_API_KEY",
        base_url_setting="GROQ_BASE_URL",
        default_base_url=GroqModel.own_base_url,
        path_warnings=path_warnings,
    ),
    loggers=("groq",),
)
