"""The official SDKs' clients, with nothing of their own: retries, redirects, time-outs, environment, proxies."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from typing import Any

from app.http.proxies import proxy_for

WRITE_SECONDS = 30.0
MAX_REFUSAL_BYTES = 16 * 2**10
NO_HTTP = "The provider's answer is no HTTP."

# Uncompressed, since a compressor may hold tokens back.
HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}


def client_of(sdk_client_class: Any, own: bool, **options: Any) -> Any:
    """A client of an SDK.

    Args:
        sdk_client_class: The SDK's own class.
        own: Whether it calls the SDK's own provider. Only that one gets what the SDK finds in the environment, such
            as OPENAI_ORG_ID, OPENAI_PROJECT_ID, OPENAI_CUSTOM_HEADERS or GROQ_CUSTOM_HEADERS.
        options: What the class is made with.
    """

    class Bare(sdk_client_class):  # type: ignore[misc]  # either SDK's
        @property
        def default_headers(self) -> dict[str, str]:
            own_headers = {"Content-Type": "application/json", "User-Agent": self.user_agent}
            return {**own_headers, **self.auth_headers, **HEADERS}

    return (sdk_client_class if own else Bare)(**options)


def client_options(
    http: Any, http_client_class: Any, transport_class: Any, connect_seconds: float, base_url: str
) -> dict[str, Any]:
    """Both SDKs retry twice and wait for minutes in secret, and OpenAI's follows redirects: not so here."""
    from app.http.guarded_session import guarded_session

    proxy = proxy_for(base_url)
    timeout = http.Timeout(None, connect=connect_seconds, write=WRITE_SECONDS)
    transport: Any = bounded(http, transport_class)(
        client=lambda: guarded_session(transport.ssl_context, proxy and proxy.url)
    )
    client = http_client_class(timeout=timeout, transport=transport, follow_redirects=False)
    return {
        "base_url": base_url,
        "max_retries": 0,
        "timeout": timeout,
        "http_client": client,
        "default_headers": HEADERS,
    }


def quieten(logger: str) -> None:
    """Keeps an SDK from logging requests and their headers, as OPENAI_LOG and GROQ_LOG have it do once imported."""
    if f"{logger.upper()}_LOG" in os.environ:
        logging.getLogger(logger).setLevel(logging.WARNING)


def bounded(http: Any, transport_class: Any) -> Any:
    """A transport of which the SDK, which reads refusals whole, gets no more than their beginning."""
    from aiohttp import ClientResponseError

    class Beginning(http.AsyncByteStream):  # type: ignore[misc]  # either SDK's
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = MAX_REFUSAL_BYTES
            async for data in self._stream:
                yield data[:left]
                left -= len(data)
                if left <= 0:
                    return

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Bounded(transport_class):  # type: ignore[misc]  # either SDK's
        async def handle_async_request(self, request: Any) -> Any:
            try:
                response = await super().handle_async_request(request)
            except ClientResponseError as error:  # an answer that is no HTTP; the transport lets it through
                raise http.RemoteProtocolError(NO_HTTP, request=request) from error
            if response.status_code >= 300:
                response.stream = Beginning(response.stream)
            return response

    return Bounded
