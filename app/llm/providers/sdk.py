"""What the official SDKs of OpenAI and Groq have in common: one generator wrote both."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import functools
import gc
import logging
import math
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson

from app.errors import (
    Overloaded,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnavailable,
    TurnFailed,
)
from app.http.open_files import out_of_files
from app.http.openai_client import NO_HTTP
from app.llm.base import ChatRequest, Chunk
from app.llm.context_windows import known_window
from app.llm.providers.chat_completions import NO_COMPLETION, read_chunks, request_body
from app.llm.providers.error_mapping import failure_of
from app.llm.providers.event_stream import BYTE_ORDER_MARK
from app.llm.providers.optional_parameters import NEW_NAME, OTHER_NAME, Learnt, Parameters, objection_in

CONNECT_SECONDS = 5.0
TOO_MANY_FILES = "The service has as many open files and connections as it may have."
LONGEST_WAIT = 10**9
"""Seconds; whoever asks for more never wants to see us again."""

log = logging.getLogger(__name__)


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
    own_base_url: ClassVar[str]
    """The provider's own, which is always given: the SDKs take an empty variable for a URL."""
    request_extras: ClassVar[dict[str, Any]] = {}
    models = None
    concurrency = None
    remote = True
    cites = True
    present = True
    max_tokens_name = NEW_NAME

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
        self._parameters = Learnt(Parameters(self.max_tokens_name))
        self._api_key = api_key
        self._base_url = base_url or self.own_base_url
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
                lost = sdk.errors.APIError, sdk.http.HTTPError, OSError
                encoding = response.headers.get("content-encoding", "")
                async for chunk in read_chunks(response.aiter_raw(), lost, encoding):
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
        """The provider's answer; where it refuses a parameter, to the same without it or by its other name."""
        parameters = keeping = self._parameters[request.model]
        tried: set[str] = set()
        while True:
            optional = parameters.sent(request, self.request_extras)
            try:
                response = await self._post(sdk, request_body(request, **optional))
            except sdk.errors.APIStatusError as error:
                refused = content_of(error.response.content)
                objection = objection_in(refused, error.status_code, [name for name in optional if name not in tried])
                if objection is None:
                    raise
                tried |= {objection.name, OTHER_NAME.get(objection.name, objection.name)}
                parameters = parameters.changed(objection.name)
                keeping = keeping if objection.to_value else keeping.changed(objection.name)
            else:
                self._parameters.learn(request.model, keeping)
                return response

    async def _post(self, sdk: Sdk, body: bytes) -> Any:
        return await sdk.client.post(
            sdk.url, cast_to=sdk.http.Response, content=body, stream=True, stream_cls=sdk.errors.AsyncStream
        )


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
    failure = failure_of(content_of(error.response.content), error.status_code)
    failure.provider_status = error.status_code
    if failure.transient:
        failure.asked_to_wait = seconds_to_wait(error.response.headers.get("retry-after"))
        if isinstance(failure, ProviderRateLimited):
            failure.retry_after = failure.asked_to_wait or failure.retry_after
    return failure


def content_of(body: bytes) -> Any:
    """An error's body as JSON, else as text."""
    try:
        return orjson.loads(body.removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


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
        if isinstance(cause, ssl.SSLCertVerificationError):
            return refused_certificate(cause)
        kind = type(cause).__name__
        if kind in {"ConnectionTimeoutError", "ServerTimeoutError"}:
            return ProviderTimeout("connect")
        if kind in {"ClientHttpProxyError", "ClientProxyConnectionError"}:
            return ProviderUnavailable("The proxy to the provider does not let us through, or is out of reach.")
        if kind == "ClientResponseError":
            return ProviderFailed(NO_HTTP)
        cause = cause.__cause__
    return ProviderUnavailable()


def refused_certificate(error: ssl.SSLCertVerificationError) -> TurnFailed:
    """A certificate that this machine does not trust: no second try would mend that, another provider may."""
    reason = getattr(error, "certificate_error", error)  # aiohttp wraps it
    log.warning("a provider's certificate was refused", extra={"why": getattr(reason, "verify_message", "")})
    failure = ProviderUnavailable("The provider's certificate was refused; the log says why.")
    failure.transient, failure.elsewhere = False, True
    return failure
