"""The client of OpenAI's SDK, for OpenAI and for every server with the same API."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from app.http.sdk_client import SdkClient, build_client, client_options, silence_logger

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_HOST = re.compile(r"(^|\.)api\.openai\.com$")

NO_KEY = "none"
"""Key for a server without keys, because the SDK insists on one."""


def is_openai(base_url: str) -> bool:
    """Return whether a base URL is OpenAI's own."""
    return OPENAI_HOST.search(urlsplit(base_url).hostname or "") is not None


def openai_client(api_key: str, base_url: str | None, connect_seconds: float) -> SdkClient:
    """Build the client; blocks while the SDK is imported.

    Args:
        api_key: The key; `NO_KEY` for a server without keys.
        base_url: The server's address; OpenAI's own when None.
        connect_seconds: Limit for connecting.
    """
    import httpx2
    import openai
    from httpx_aiohttp.httpx2 import AiohttpTransport

    silence_logger("openai")
    base_url = base_url or OPENAI_URL
    options = client_options(httpx2, openai.DefaultAioHttpClient, AiohttpTransport, connect_seconds, base_url)
    client = build_client(openai.AsyncOpenAI, is_openai(base_url), api_key=api_key, **options)
    return SdkClient(client, openai, httpx2)
