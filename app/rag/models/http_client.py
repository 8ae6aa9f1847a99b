"""A server that is asked for JSON: one try, one time-out, and all its ways to fail as one error."""

from __future__ import annotations

import asyncio
import email.utils
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from app.errors import EmbeddingFailed
from app.http.open_files import out_of_files

MAX_ANSWER_BYTES = 64 * 2**20
TRIES = 6
LONGEST_WAIT_SECONDS = 60.0


class RemoteFailed(EmbeddingFailed):
    """The embedding model does not answer."""

    transient = False
    """Whether it may answer another time."""
    wait: float | None = None
    """Seconds that it asked to wait."""


class Remote:
    """An endpoint behind an OpenAI SDK's client, which is made on first use: `build` blocks.

    What the server says in an error goes no further: it may hold the key.
    """

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._client: Any = None
        self._building = asyncio.Lock()

    async def answer(self, path: str, body: dict[str, Any], seconds: float) -> Any:
        """What the server answers, as parsed JSON, to one try.

        Raises:
            RemoteFailed: it did not in time, or with something else.
        """
        client = await self._built()
        try:
            async with asyncio.timeout(seconds):
                content = await posted(client, path, body)
        except (OSError, TimeoutError) as error:
            raise failure("It does not answer.", transient=True) from error
        try:
            return orjson.loads(content)
        except ValueError:
            raise failure("Its answer cannot be read.") from None

    async def patient_answer(self, path: str, body: dict[str, Any], seconds: float) -> Any:
        """The same, for what can wait: tried again, each time later, while that may help."""
        for tried in range(1, TRIES):
            try:
                return await self.answer(path, body, seconds)
            except RemoteFailed as error:
                if not error.transient:
                    raise
                await asyncio.sleep(pause(tried, error.wait))
        return await self.answer(path, body, seconds)

    async def aclose(self) -> None:
        """Closes its connections."""
        if self._client is not None:
            await self._client.close()

    async def _built(self) -> Any:
        async with self._building:
            if self._client is None:
                self._client = await asyncio.to_thread(self._build)
            return self._client


async def posted(client: Any, path: str, body: dict[str, Any]) -> bytes:
    """The bytes that come back.

    Raises:
        RemoteFailed: the server refuses, or is out of reach.
    """
    import httpx2
    import openai

    try:
        response = await client.post(
            f"{str(client.base_url).rstrip('/')}/{path}",
            cast_to=httpx2.Response,
            content=orjson.dumps(body),
            options={"headers": {"Accept": "application/json", "Content-Type": "application/json"}},
            stream=True,
            stream_cls=openai.AsyncStream,
        )
        return await whole(response)
    except openai.APIStatusError as error:
        raise refusal(error.status_code, error.response.headers.get("retry-after")) from None
    except (openai.APIError, httpx2.HTTPError) as error:
        reason = "This process has too many open files." if out_of_files(error) else "It is out of reach."
        raise failure(reason, transient=True) from None


async def whole(response: Any) -> bytes:
    """All of an answer, unless it is too large for one."""
    content = bytearray()
    try:
        async for part in response.aiter_bytes():
            content += part
            if len(content) > MAX_ANSWER_BYTES:
                raise failure("Its answer is too large.")
    finally:
        await response.aclose()
    return bytes(content)


def refusal(status: int, retry_after: str | None) -> RemoteFailed:
    """What a status means."""
    error = failure(f"It answered with status {status}.", transient=status in {408, 429} or status >= 500)
    error.wait = seconds_to_wait(retry_after)
    return error


def failure(what: str, *, transient: bool = False) -> RemoteFailed:
    """The error, in our own words."""
    error = RemoteFailed(f"The embedding model cannot be used. {what}")
    error.transient = transient
    return error


def pause(tried: int, asked: float | None) -> float:
    """Seconds until the next try: what the server asked for, within a minute, else longer each time."""
    if asked is not None:
        return min(asked, LONGEST_WAIT_SECONDS) + random.uniform(0, 1)  # noqa: S311  jitter is no secret
    return random.uniform(0.5, 1) * min(2.0 ** (tried - 1), LONGEST_WAIT_SECONDS)  # noqa: S311  neither here


def seconds_to_wait(value: str | None) -> float | None:
    """`Retry-After`, seconds or a date (RFC 9110, section 10.2.3); None when it is neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
