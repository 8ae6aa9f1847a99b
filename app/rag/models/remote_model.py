"""JSON requests to embedding and reranking servers, with retries and one error class."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import orjson

from app.errors import EmbeddingFailed
from app.http.open_files import out_of_files
from app.http.retry_after import retry_after_seconds
from app.http.sdk_client import JSON_HEADERS, LazyClient, SdkClient, read_up_to

MAX_RESPONSE_BYTES = 64 * 2**20
ATTEMPTS = 6
MAX_DELAY_SECONDS = 60.0


class RemoteModelFailed(EmbeddingFailed):
    """The embedding or reranking model failed."""

    transient = False
    """True if a retry may succeed."""
    requested_delay: float | None = None
    """Seconds before a retry that the server requests."""


def retry_delay(attempt: int, requested: float | None) -> float:
    """Return the seconds to wait after a failed attempt, numbered from 1.

    The server's request up to a minute, else exponential backoff; both with jitter.
    """
    if requested is not None:
        return min(requested, MAX_DELAY_SECONDS) + random.uniform(0, 1)  # noqa: S311  jitter needs no secrecy
    return random.uniform(0.5, 1) * min(2.0 ** (attempt - 1), MAX_DELAY_SECONDS)  # noqa: S311  same here


class RemoteModel:
    """An endpoint behind an OpenAI SDK's client.

    The server's own words in an error are dropped: they may hold the key.
    """

    def __init__(
        self, build: Callable[[], SdkClient], retry_delay: Callable[[int, float | None], float] = retry_delay
    ) -> None:
        self._client = LazyClient(build)
        self._retry_delay = retry_delay

    async def request(self, path: str, body: dict[str, Any], seconds: float) -> Any:
        """Send one request; return the parsed JSON of the response.

        Args:
            path: The path below the base URL.
            body: The request's JSON.
            seconds: Limit for the whole exchange.

        Raises:
            RemoteModelFailed: the server refuses, fails, is too slow or does not send JSON.
        """
        client = await self._client.get()
        try:
            async with asyncio.timeout(seconds):
                response = await client.post(path, orjson.dumps(body), JSON_HEADERS)
                content = await read_up_to(response, MAX_RESPONSE_BYTES)
        except client.sdk.APIStatusError as error:
            raise refusal(error.status_code, error.response.headers.get("retry-after")) from None
        except TimeoutError as error:
            raise failure("It did not respond in time.", transient=True) from error
        except client.connection_errors as error:
            reason = "The service has too many open files." if out_of_files(error) else "It is unreachable."
            raise failure(reason, transient=True) from None
        if len(content) > MAX_RESPONSE_BYTES:
            raise failure("Its response is too large.")
        try:
            return orjson.loads(content)
        except ValueError:
            raise failure("Its response is not JSON.") from None

    async def request_with_retries(self, path: str, body: dict[str, Any], seconds: float) -> Any:
        """Send a request up to `ATTEMPTS` times while errors are transient; `seconds` limits each attempt.

        Raises:
            RemoteModelFailed: as `request` does.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                return await self.request(path, body, seconds)
            except RemoteModelFailed as error:
                if not error.transient:
                    raise
                await asyncio.sleep(self._retry_delay(attempt, error.requested_delay))
        return await self.request(path, body, seconds)

    async def aclose(self) -> None:
        await self._client.aclose()


def refusal(status: int, retry_after: str | None) -> RemoteModelFailed:
    """Build the error for a response's status and `Retry-After` header."""
    error = failure(f"It responded with status {status}.", transient=status in {408, 429} or status >= 500)
    error.requested_delay = retry_after_seconds(retry_after)
    return error


def failure(reason: str, *, transient: bool = False) -> RemoteModelFailed:
    error = RemoteModelFailed(f"The embedding model cannot be used. {reason}")
    error.transient = transient
    return error
