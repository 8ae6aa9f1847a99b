"""What the official SDKs of OpenAI and Groq have in common: one generator wrote both."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import functools
import gc
import math
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from app.errors import (
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    ProviderAuth,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnavailable,
    TurnFailed,
)
from app.llm.base import ChatRequest, Chunk
from app.llm.chat_completions import NO_COMPLETION, failure_of, read_chunks, request_body
from app.llm.windows import known_window
from app.open_files import out_of_files

CONNECT_SECONDS = 5.0
WRITE_SECONDS = 30.0
MAX_REFUSAL_BYTES = 16 * 2**10
TOO_MANY_FILES = "The service has as many open files and connections as it may have."
NO_HTTP = "The provider's answer is no HTTP."
LONGEST_WAIT = 10**9
"""Seconds; whoever asks for more never wants to see us again."""


@dataclass(frozen=True)
class Sdk:
    """An SDK's client beside the modules whose classes it takes and raises."""

    client: Any
    errors: Any
    http: Any
    path: str

    @functools.cached_property
    def url(self) -> str:
        """Where chat completions are asked for, whole: joined by the SDK it costs as much as the request's body."""
        return f"{str(self.client.base_url).rstrip('/')}/{self.path}"


class SdkModel(ABC):
    """A provider behind its official SDK, imported and built on first use (it costs up to a second)."""

    name: str
    path: ClassVar[str]
    request_extras: ClassVar[dict[str, Any]] = {}
    models = None
    concurrency = None
    remote = True
    cites = True
    present = True

    def __init__(
        self,
        api_key: str,
        base_url: str | None,
        default_model: str,
        context_window: int | None = None,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self.default_model = default_model
        self._context_window = context_window
        self.max_tokens_field = "max_completion_tokens"
        self._api_key = api_key
        self._base_url = base_url
        self._connect_seconds = connect_seconds
        self._sdk: Sdk | None = None
        self._building = asyncio.Lock()

    def context_window(self, model: str) -> int:
        """See `ChatModel.context_window`: what was configured for the default model, else what is known by its name."""
        configured = self._context_window if model == self.default_model else None
        return configured or known_window(model)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """See `ChatModel.stream`."""
        with within_own_limits():
            sdk = await self._built()
            with opening(sdk):
                response = await self._send(sdk, request)
        try:
            with answering(response.status_code), reading(sdk):
                async for chunk in read_chunks(
                    response.aiter_raw(), (sdk.errors.APIError, sdk.http.HTTPError, OSError)
                ):
                    yield chunk
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Closes the SDK's connections."""
        if self._sdk is not None:
            await self._sdk.client.close()

    @abstractmethod
    def _build(self) -> Sdk:
        """Imports the SDK and makes its client; blocks."""

    async def _built(self) -> Sdk:
        if self._sdk is not None:
            return self._sdk
        async with self._building:
            if self._sdk is None:
                self._sdk = await asyncio.to_thread(self._build)
                gc.freeze()  # thousands of classes that stay: no collection has to look at them again
            return self._sdk

    async def _send(self, sdk: Sdk, request: ChatRequest) -> Any:
        extras = self.request_extras
        if request.max_tokens is not None:
            extras = {**extras, self.max_tokens_field: request.max_tokens}
        return await sdk.client.post(
            sdk.url,
            cast_to=sdk.http.Response,
            content=request_body(request, **extras),
            stream=True,
            stream_cls=sdk.errors.AsyncStream,
        )


def client_options(http: Any, http_client_class: Any, transport_class: Any, connect_seconds: float) -> dict[str, Any]:
    """Both SDKs retry twice and wait for minutes in secret, and OpenAI's follows redirects: not so here."""
    from app.llm.sessions import guarded_session

    timeout = http.Timeout(None, connect=connect_seconds, write=WRITE_SECONDS)
    transport: Any = bounded(http, transport_class)(client=lambda: guarded_session(transport.ssl_context))
    client = http_client_class(timeout=timeout, transport=transport, follow_redirects=False)
    # Uncompressed, since a compressor may hold tokens back.
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    return {"max_retries": 0, "timeout": timeout, "http_client": client, "default_headers": headers}


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


@contextlib.contextmanager
def within_own_limits() -> Iterator[None]:
    """Say of what fails since this process may open no more files that the provider has no part in it."""
    try:
        yield
    except Exception as error:
        if out_of_files(error):
            raise Overloaded(TOO_MANY_FILES) from error
        raise


@contextlib.contextmanager
def opening(sdk: Sdk) -> Iterator[None]:
    """Translates what is raised until the provider has answered with a status."""
    try:
        yield
    except sdk.errors.APIStatusError as error:
        raise failure_of_status(error) from error
    except (sdk.errors.APIError, sdk.http.HTTPError, OSError) as error:
        raise failure_of_connection(error) from error


@contextlib.contextmanager
def answering(status: int) -> Iterator[None]:
    """Says of what fails that the provider had answered, and with what."""
    try:
        yield
    except TurnFailed as failure:
        failure.provider_status = status
        raise


@contextlib.contextmanager
def reading(sdk: Sdk) -> Iterator[None]:
    """Translates what is raised while the reply streams; a malformed event has many faces."""
    try:
        yield
    except (sdk.errors.APIError, sdk.http.HTTPError, OSError) as error:
        raise ProviderTruncated from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProviderFailed(NO_COMPLETION) from error


def failure_of_status(error: Any) -> TurnFailed:
    """A refusal as ours; the provider's words stay in the chained exception."""
    failure = failure_of_answer(error.status_code, error.body)
    failure.provider_status = error.status_code
    if failure.transient:
        failure.asked_to_wait = seconds_to_wait(error.response.headers.get("retry-after"))
        if isinstance(failure, ProviderRateLimited):
            failure.retry_after = failure.asked_to_wait or failure.retry_after
    return failure


def failure_of_answer(status: int, content: Any) -> TurnFailed:
    """What a status and the error in a body mean."""
    if status in {401, 403}:
        return ProviderAuth()
    if status == 429:
        return ProviderRateLimited()
    body = content if isinstance(content, dict) else {}
    failure = failure_of(body.get("error", body))
    if isinstance(failure, ContextTooLong | ModelNotFound):
        return failure
    said = f"The provider answered with status {status}."
    return ProviderFailed(said) if status == 408 or status >= 500 else TurnFailed(said)


def seconds_to_wait(value: str | None) -> int | None:
    """`Retry-After`, seconds or a date, in seconds from now (RFC 9110, section 10.2.3); None when it is neither."""
    if not value:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value.strip()):  # some send fractions
        return math.ceil(min(float(value), LONGEST_WAIT))
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, math.ceil((moment - datetime.now(UTC)).total_seconds()))


def failure_of_connection(error: BaseException) -> TurnFailed:
    """A connection that failed: only a timeout while connecting is one, whatever the SDK calls it."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__name__ in {"ConnectionTimeoutError", "ServerTimeoutError"}:
            return ProviderTimeout("connect")
        if type(cause).__name__ == "ClientResponseError":
            return ProviderFailed(NO_HTTP)
        cause = cause.__cause__
    return ProviderUnavailable()
