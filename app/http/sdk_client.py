"""Clients of the official SDKs, with the SDKs' own retries, redirects, timeouts and proxies switched off."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.http.outbound_guard import guarded_session
from app.http.proxies import proxy_for

if TYPE_CHECKING:
    import ssl

WRITE_SECONDS = 30.0
MAX_REFUSAL_BYTES = 16 * 2**10
NOT_HTTP = "The provider's response is not HTTP; the operator should check its base URL."

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name the trusted certificates."""

TLS_CONTEXTS: dict[tuple[str | None, ...], ssl.SSLContext] = {}
"""TLS contexts by library and certificates."""

STREAM_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
"""Uncompressed, because a compressor may hold tokens back."""

JSON_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}


@dataclass(frozen=True)
class SdkClient:
    """An SDK's client, with the two modules whose classes it accepts and raises."""

    client: Any
    sdk: Any
    """`openai` or `groq`."""
    http: Any
    """`httpx2` or `httpx`."""

    @functools.cached_property
    def base_url(self) -> str:
        """The base URL without a slash at its end: joining URLs in the SDK would cost as much as serialising a body."""
        return str(self.client.base_url).rstrip("/")

    @functools.cached_property
    def connection_errors(self) -> tuple[type[Exception], ...]:
        return self.sdk.APIError, self.http.HTTPError, OSError

    async def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
        """Send a body; return the SDK's response, whose own body is read as a stream.

        Raises:
            self.sdk.APIStatusError: the status is not 2xx.
            self.connection_errors: there is no answer.
        """
        return await self.client.post(
            f"{self.base_url}/{path}",
            cast_to=self.http.Response,
            content=body,
            options={"headers": headers} if headers else {},
            stream=True,
            stream_cls=self.sdk.AsyncStream,
        )

    async def get(self, path: str) -> Any:
        """Request JSON; return the SDK's response as `post` does, with the same exceptions."""
        return await self.client.get(
            f"{self.base_url}/{path}",
            cast_to=self.http.Response,
            options={"headers": {"Accept": "application/json"}},
            stream=True,
            stream_cls=self.sdk.AsyncStream,
        )

    async def aclose(self) -> None:
        await self.client.close()


class LazyClient:
    """An SDK's client, built on first use in a thread: importing an SDK takes up to a second."""

    def __init__(self, build: Callable[[], SdkClient]) -> None:
        self._build = build
        self._client: SdkClient | None = None
        self._building = asyncio.Lock()

    async def get(self) -> SdkClient:
        if self._client is not None:
            return self._client
        async with self._building:
            if self._client is None:
                self._client = await asyncio.to_thread(self._build)
                gc.freeze()  # the SDK's thousands of classes stay, so collections need not visit them
            return self._client

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


async def read_up_to(response: Any, max_bytes: int) -> bytes:
    """Read and close a response; stop after the first part that makes it longer than `max_bytes`."""
    content = bytearray()
    try:
        async for part in response.aiter_bytes():
            content += part
            if len(content) > max_bytes:
                break
    finally:
        await response.aclose()
    return bytes(content)


def build_client(sdk_client_class: Any, is_own_provider: bool, **options: Any) -> Any:
    """Build a client of an SDK.

    Args:
        sdk_client_class: The SDK's own class.
        is_own_provider: Whether it calls the SDK's own provider. Only that one gets what the SDK finds in the
            environment, such as OPENAI_ORG_ID, OPENAI_PROJECT_ID, OPENAI_CUSTOM_HEADERS or GROQ_CUSTOM_HEADERS.
        options: The arguments of the class.
    """

    class ClientWithoutEnvironment(sdk_client_class):  # type: ignore[misc]  # the base class is a parameter
        @property
        def default_headers(self) -> dict[str, str]:
            own_headers = {"Content-Type": "application/json", "User-Agent": self.user_agent}
            return {**own_headers, **self.auth_headers, **STREAM_HEADERS}

    return (sdk_client_class if is_own_provider else ClientWithoutEnvironment)(**options)


def client_options(
    http: Any, http_client_class: Any, transport_class: Any, connect_seconds: float, base_url: str
) -> dict[str, Any]:
    """Return the arguments of an SDK's client without retries, redirects or read timeouts.

    By default both SDKs retry twice and wait for minutes without a trace, and OpenAI's follows redirects.
    """
    proxy = proxy_for(base_url)
    timeout = http.Timeout(None, connect=connect_seconds, write=WRITE_SECONDS)
    transport: Any = bounded_transport(http, transport_class)(
        verify=tls_context(http), client=lambda: guarded_session(transport.ssl_context, proxy and proxy.url)
    )
    client = http_client_class(timeout=timeout, transport=transport, follow_redirects=False)
    return {
        "base_url": base_url,
        "max_retries": 0,
        "timeout": timeout,
        "http_client": client,
        "default_headers": STREAM_HEADERS,
    }


def tls_context(http: Any) -> ssl.SSLContext:
    """Return the TLS context that clients of `httpx2` or `httpx` share: to load certificates takes each 30 ms."""
    key = http.__name__, *map(os.environ.get, CERTIFICATES)
    if key not in TLS_CONTEXTS:
        TLS_CONTEXTS[key] = http.create_ssl_context()
    return TLS_CONTEXTS[key]


def silence_logger(logger: str) -> None:
    """Keep an SDK from logging requests and headers, which OPENAI_LOG and GROQ_LOG switch on when it is imported."""
    if f"{logger.upper()}_LOG" in os.environ:
        logging.getLogger(logger).setLevel(logging.WARNING)


def bounded_transport(http: Any, transport_class: Any) -> Any:
    """Return a transport class that cuts the bodies of refusals, which the SDK reads whole, to their beginning."""
    from aiohttp import ClientResponseError

    class BoundedBody(http.AsyncByteStream):  # type: ignore[misc]  # the base class is a parameter
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

    class BoundedTransport(transport_class):  # type: ignore[misc]  # the base class is a parameter
        async def handle_async_request(self, request: Any) -> Any:
            try:
                response = await super().handle_async_request(request)
            except ClientResponseError as error:  # an answer that is not HTTP, raised untranslated
                raise http.RemoteProtocolError(NOT_HTTP, request=request) from error
            if response.status_code >= 300:
                response.stream = BoundedBody(response.stream)
            return response

    return BoundedTransport
