"""Base class of providers behind an official SDK; those of OpenAI and Groq are alike, as one generator wrote both."""

from __future__ import annotations

import contextlib
import logging
import math
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator
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
from app.http.retry_after import retry_after_seconds
from app.http.sdk_client import NOT_HTTP, LazyClient, SdkClient
from app.llm.base import ChatRequest, Chunk
from app.llm.context_windows import known_window
from app.llm.providers.chat_completions import NOT_A_COMPLETION, read_chunks, request_body
from app.llm.providers.error_mapping import failure_of
from app.llm.providers.event_stream import BYTE_ORDER_MARK
from app.llm.providers.optional_parameters import (
    NEW_NAME,
    OTHER_NAME,
    AcceptedParameters,
    Parameters,
    find_refused_parameter,
)

CONNECT_SECONDS = 5.0
TOO_MANY_FILES = "The service has reached its limit of open files and connections; retry later."

log = logging.getLogger(__name__)


class SdkModel(ABC):
    """A provider behind its official SDK, whose client is built on first use."""

    name: str
    path: ClassVar[str]
    """Path of chat completions below the base URL."""
    own_base_url: ClassVar[str]
    """The provider's own base URL; the SDKs take an empty environment variable for one, so it is always passed."""
    request_extras: ClassVar[dict[str, Any]] = {}
    """Further members of each request's body."""
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
        self._accepted_parameters = AcceptedParameters(Parameters(self.max_tokens_name))
        self._api_key = api_key
        self._base_url = base_url or self.own_base_url
        self._connect_seconds = connect_seconds
        self._client = LazyClient(self.build_client)

    def context_window(self, model: str) -> int:
        """Return the configured window for the default model, else the one known by the model's name."""
        configured = self._context_window if model == self.default_model else None
        return configured or known_window(model)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        with own_limit_errors():
            client = await self._client.get()
            with request_errors(client):
                response = await self._send(client, request)
        try:
            with provider_status(response.status_code), stream_errors(client):
                encoding = response.headers.get("content-encoding", "")
                async for chunk in read_chunks(response.aiter_raw(), client.connection_errors, encoding):
                    yield chunk
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()

    @abstractmethod
    def build_client(self) -> SdkClient:
        """Import the SDK and build its client; blocks."""

    async def _send(self, client: SdkClient, request: ChatRequest) -> Any:
        """Return the provider's response; where it refuses a parameter, retry without it or with its other name."""
        parameters = accepted = self._accepted_parameters[request.model]
        tried: set[str] = set()
        while True:
            optional = parameters.members(request, self.request_extras)
            try:
                response = await client.post(self.path, request_body(request, **optional))
            except client.sdk.APIStatusError as error:
                content = parsed_body(error.response.content)
                untried = [name for name in optional if name not in tried]
                refused = find_refused_parameter(content, error.status_code, untried)
                if refused is None:
                    raise
                tried |= {refused.name, OTHER_NAME.get(refused.name, refused.name)}
                parameters = parameters.without(refused.name)
                accepted = accepted if refused.value_only else accepted.without(refused.name)
            else:
                self._accepted_parameters.remember(request.model, accepted)
                return response


@contextlib.contextmanager
def own_limit_errors() -> Iterator[None]:
    """Raise Overloaded for failures from this process's limit of open files, in which the provider has no part."""
    try:
        yield
    except Exception as error:
        if out_of_files(error):
            raise Overloaded(TOO_MANY_FILES) from error
        raise


@contextlib.contextmanager
def request_errors(client: SdkClient) -> Iterator[None]:
    """Translate the SDK's exceptions before the provider answers with a status into TurnFailed."""
    try:
        yield
    except client.sdk.APIStatusError as error:
        raise failure_of_status(error) from error
    except client.connection_errors as error:
        raise failure_of_connection(error) from error


@contextlib.contextmanager
def provider_status(status: int) -> Iterator[None]:
    """Set the response's status in a TurnFailed from within the block."""
    try:
        yield
    except TurnFailed as failure:
        failure.provider_status = status
        raise


@contextlib.contextmanager
def stream_errors(client: SdkClient) -> Iterator[None]:
    """Translate exceptions while a response is read: a malformed event raises several kinds."""
    try:
        yield
    except client.connection_errors as error:
        raise ProviderTruncated from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProviderFailed(NOT_A_COMPLETION) from error


def failure_of_status(error: Any) -> TurnFailed:
    """Map an SDK's APIStatusError; the provider's words stay in the chained exception."""
    failure = failure_of(parsed_body(error.response.content), error.status_code)
    failure.provider_status = error.status_code
    if failure.transient:
        seconds = retry_after_seconds(error.response.headers.get("retry-after"))
        failure.provider_retry_after = None if seconds is None else math.ceil(seconds)
        if isinstance(failure, ProviderRateLimited):
            failure.retry_after = failure.provider_retry_after or failure.retry_after
    return failure


def parsed_body(body: bytes) -> Any:
    """Return an error's body as parsed JSON, else as text."""
    try:
        return orjson.loads(body.removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def failure_of_connection(error: BaseException) -> TurnFailed:
    """Map a failed connection; a ProviderTimeout only for a timeout while connecting, whatever the SDK names it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return certificate_failure(cause)
        kind = type(cause).__name__
        if kind in {"ConnectionTimeoutError", "ServerTimeoutError"}:
            return ProviderTimeout("connect")
        if kind in {"ClientHttpProxyError", "ClientProxyConnectionError"}:
            return ProviderUnavailable(
                "The proxy to the provider is unreachable or refuses the connection; the operator should check it."
            )
        if kind == "ClientResponseError":
            return ProviderFailed(NOT_HTTP)
        cause = cause.__cause__
    return ProviderUnavailable()


def certificate_failure(error: ssl.SSLCertVerificationError) -> TurnFailed:
    """Build the failure for a certificate that this machine does not trust: no retry helps, a fallback may."""
    reason = getattr(error, "certificate_error", error)  # aiohttp wraps it
    log.warning("a provider's certificate was refused", extra={"why": getattr(reason, "verify_message", "")})
    failure = ProviderUnavailable(
        "The provider's certificate is not trusted; the operator finds the reason in the log."
    )
    failure.transient, failure.fallback_at_once = False, True
    return failure
