"""The wire that OpenAI and everyone compatible speaks: a JSON request, an answer in Server-Sent Events.

The official SDKs build a model per streamed chunk and walk every message of a request in Python (measured:
245 ms at 1,000 messages). Here they do what they are good at, which is URLs, credentials, connections and
errors, while body and events go through orjson.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import orjson

from app.domain.messages import FinishReason, Usage
from app.domain.text import StorableText, storable
from app.errors import (
    ContextTooLong,
    ModelNotFound,
    ProviderAuth,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTruncated,
    TurnFailed,
)
from app.llm.base import ChatRequest, Chunk

MAX_EVENT_BYTES = 2 * 2**20
"""What a provider may say in one event; one that says more floods us, and its reply ends there."""

MAX_TOKENS = 2**40
"""More than any reply can have; a database holds no number without end."""

FLOODED_TEXT = re.compile(
    rb'"(content|reasoning(?:_content)?)"\s*:\s*"((?:[^"\\\x00-\x1f]|\\(?:[^u]|u[0-9a-fA-F]{4}))*+)'
)
"""A text in an event that was cut amid it; possessive, so that it never backtracks."""

NO_COMPLETION = "The provider sent something that is no chat completion."
NOTHING: dict[str, Any] = {}
MALFORMED = None

# Many servers, vLLM and Ollama among them, say these in their words alone.
CONTEXT_TOO_LONG = re.compile(r"context[ _]?(length|size|window)|prompt is too long", re.IGNORECASE)
NO_SUCH_MODEL = re.compile(r"\bmodel\b.{1,200}\b(not found|does not exist)", re.IGNORECASE)

# What servers put into an error's `code` or `type`, be it a word or an HTTP status.
RATE_LIMIT_KINDS = {"429", "rate_limit_exceeded", "rate_limit_error"}
MODEL_KINDS = {"model_not_found", "model_decommissioned", "NotFoundError"}
REQUEST_KINDS = {"400", "404", "413", "422", "invalid_request_error", "not_found_error"}
AUTH_KINDS = {"401", "403", "invalid_api_key", "authentication_error", "permission_error"}

FINISH_REASONS = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}

FAILURE_REASONS = {"error", "insufficient_system_resource"}
"""With these OpenRouter and DeepSeek end a reply that they could not bring to its end."""


def request_body(request: ChatRequest, **extra: Any) -> bytes:
    """The body of a streamed chat completion; what is None stays the provider's own choice."""
    body = {"model": request.model, "messages": request.messages, "stream": True, **extra}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    return orjson.dumps(body)


async def read_chunks(received: AsyncIterator[bytes], lost: tuple[type[Exception], ...] = ()) -> AsyncIterator[Chunk]:
    """Chunks out of the bytes of an event stream: one for all the events that arrive together.

    Args:
        received: The bytes, however they are cut.
        lost: What is raised when the connection is lost; that takes nothing from a reply that had its finish reason.

    Raises:
        ProviderTruncated: the stream ended without a finish reason.
        TurnFailed: it held an error, or something that is no chat completion.
    """
    lines, reply = EventLines(), ReplyReader()
    with ignoring(lost, reply):
        async for data in received:
            payloads = lines.feed(data)
            chunk = reply.read(payloads) if payloads else None
            if chunk is not None:
                yield chunk
            reply.check()
            if lines.flooded is not None:
                yield reply.cut(lines.flooded)
                return
    yield reply.end()


@contextlib.contextmanager
def ignoring(lost: tuple[type[Exception], ...], reply: ReplyReader) -> Iterator[None]:
    """Lets a connection be lost behind the end of a reply."""
    try:
        yield
    except lost:
        if not reply.finished:
            raise


class EventLines:
    """Takes an event stream (WHATWG HTML, section 9.2) apart, however its bytes are cut."""

    def __init__(self) -> None:
        self.flooded: bytes | None = None
        """The beginning of a line that is too long; nothing after it is read."""
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the `data:` lines that are whole by now."""
        if b"\n" not in data:
            self._keep(data)
            return []
        *lines, rest = b"".join([*self._parts, data]).split(b"\n")
        self._parts, self._size = [], 0
        self._keep(rest)
        payloads = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        return [payload for payload in payloads if payload and payload != b"[DONE]"]

    def _keep(self, data: bytes) -> None:
        """Keeps what may be the beginning of a line, without copying it again with each piece."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            self.flooded = b"".join(self._parts)


def events_of(payloads: Sequence[bytes]) -> list[Any]:
    """Payloads as JSON, parsed in one go, since that costs half of one by one; up to the first that is none."""
    try:
        events: list[Any] = orjson.loads(b"[%b]" % b",".join(payloads))
    except orjson.JSONDecodeError:
        return list(parsed_singly(payloads))
    return events


def parsed_singly(payloads: Sequence[bytes]) -> Iterator[Any]:
    """As `events_of`, with the parser that lets a half of a surrogate pair through: the other half may follow."""
    for payload in payloads:
        try:
            yield json.loads(payload)
        except (ValueError, RecursionError):
            yield MALFORMED
            return


class ReplyReader:
    """Puts events together to chunks, and knows whether the reply was finished."""

    def __init__(self) -> None:
        self._text = StorableText()
        self._finish_reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._failure: TurnFailed | None = None

    def read(self, payloads: Sequence[bytes]) -> Chunk | None:
        """One chunk for these events, or None when they hold no text, no thinking, no usage and no end.

        What stands before an error is part of the reply, so the error waits for `check`.
        """
        text, reasoning = "", ""
        unfinished, known = not self.finished, self._usage
        for event in events_of(payloads):
            try:
                if self._ends(event):
                    break
                for choice in event.get("choices") or ():
                    delta = choice.get("delta") or NOTHING
                    text += delta.get("content") or ""
                    reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
                    if reason := choice.get("finish_reason"):
                        self._finish(reason)
            except (AttributeError, TypeError):  # members of other types than a completion's
                self._failure = ProviderFailed(NO_COMPLETION)
                break
        ends = self._finish_reason if unfinished else None
        usage = None if self._usage is known else self._usage
        if not (text or reasoning or ends or usage):
            return None
        return Chunk(self._text.feed(text), storable(reasoning), ends, usage)

    @property
    def finished(self) -> bool:
        """Whether it had its finish reason."""
        return self._finish_reason is not None

    def check(self) -> None:
        """Raises the TurnFailed that was read, if there was one."""
        if self._failure is not None:
            raise self._failure

    def cut(self, line: bytes) -> Chunk:
        """The last chunk, where a line was too long to be read to its end: what there is of its text.

        Raises:
            TurnFailed: it is no text that is so long.
        """
        found = max(FLOODED_TEXT.finditer(line), key=lambda each: len(each[2]), default=None)
        if not line.startswith(b"data:") or found is None:
            raise ProviderFailed(NO_COMPLETION)
        said: str = json.loads(b'"%b"' % found[2].decode(errors="ignore").encode())
        text, thought = (said, "") if found[1] == b"content" else ("", said)
        told = self._text.feed(text) + self._text.flush()
        return Chunk(told, storable(thought), FinishReason.LENGTH, self._usage)

    def end(self) -> Chunk:
        """The last chunk, once the stream has ended."""
        if self._finish_reason is None:
            raise ProviderTruncated
        return Chunk(text=self._text.flush(), finish_reason=self._finish_reason, usage=self._usage)

    def _finish(self, reason: str) -> None:
        if reason in FAILURE_REASONS:
            self._failure = ProviderFailed()
        else:
            self._finish_reason = FINISH_REASONS.get(reason, FinishReason.STOP)

    def _ends(self, event: Any) -> bool:
        if not isinstance(event, dict):
            self._failure = ProviderFailed(NO_COMPLETION)
        elif error := event.get("error") or members(event.get("x_groq")).get("error"):
            self._failure = failure_of(error)
        elif "usage" in event or "x_groq" in event:
            self._usage = usage_of(event) or self._usage
        return self._failure is not None


def usage_of(event: dict[str, Any]) -> Usage | None:
    """The tokens an event reports: OpenAI at its top, Groq in `x_groq`; None for what cannot be a count."""
    usage = members(event.get("usage") or members(event.get("x_groq")).get("usage"))
    if not usage:
        return None
    sent, received = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    if not all(isinstance(count, int) and 0 <= count < MAX_TOKENS for count in (sent, received)):
        return None
    return Usage(sent, received)


def members(value: Any) -> dict[str, Any]:
    """The members of a JSON object; none of what is something else."""
    return value if isinstance(value, dict) else NOTHING


def failure_of(error: Any) -> TurnFailed:
    """An error object as ours. Its own words may hold a key or another customer's data: they go nowhere."""
    said = members(error)
    words, kinds = str(said.get("message")), {str(said.get("code")), str(said.get("type"))}
    if any(map(CONTEXT_TOO_LONG.search, [words, *kinds])):
        return ContextTooLong()
    if kinds & RATE_LIMIT_KINDS:
        return ProviderRateLimited()
    if kinds & MODEL_KINDS or NO_SUCH_MODEL.search(words):
        return ModelNotFound()
    if kinds & AUTH_KINDS:
        return ProviderAuth()
    return TurnFailed() if kinds & REQUEST_KINDS else ProviderFailed()
