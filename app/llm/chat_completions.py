"""The wire that OpenAI and everyone compatible speaks: a JSON request, an answer in Server-Sent Events.

The official SDKs build a model per streamed chunk and walk every message of a request in Python (measured:
245 ms at 1,000 messages). Here they do what they are good at, which is URLs, credentials, connections and
errors, while body and events go through orjson.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import orjson

from app.domain.messages import FinishReason, Usage
from app.domain.text import StorableText
from app.errors import ContextTooLong, ProviderAuth, ProviderRateLimited, ProviderTruncated, TurnFailed
from app.llm.base import ChatRequest, Chunk

MAX_EVENT_BYTES = 4 * 2**20
NOTHING: dict[str, Any] = {}
MALFORMED = None

# What servers put into an error's `code` or `type`, be it a word or an HTTP status.
RATE_LIMIT_KINDS = {"429", "rate_limit_exceeded", "rate_limit_error"}
AUTH_KINDS = {"401", "403", "invalid_api_key", "authentication_error", "permission_error"}

FINISH_REASONS = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}


def request_body(request: ChatRequest, **extra: Any) -> bytes:
    """The body of a streamed chat completion; what is None stays the provider's own choice."""
    body = {"model": request.model, "messages": request.messages, "stream": True, **extra}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    return orjson.dumps(body)


async def read_chunks(received: AsyncIterator[bytes]) -> AsyncIterator[Chunk]:
    """Chunks out of the bytes of an event stream: one for all the events that arrive together.

    Raises:
        ProviderTruncated: the stream ended without a finish reason.
        TurnFailed: it held an error, or something that is no chat completion.
    """
    lines, reply = EventLines(), ReplyReader()
    async for data in received:
        payloads = lines.feed(data)
        chunk = reply.read(payloads) if payloads else None
        if chunk is not None:
            yield chunk
        reply.check()
    yield reply.end()


class EventLines:
    """Takes an event stream (WHATWG HTML, section 9.2) apart, however its bytes are cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the `data:` lines that are whole by now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise TurnFailed
        payloads = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        return [payload for payload in payloads if payload and payload != b"[DONE]"]


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
        except ValueError:
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
        """One chunk for these events, or None when they hold no text and no thinking.

        What stands before an error is part of the reply, so the error waits for `check`.
        """
        text, reasoning = "", ""
        for event in events_of(payloads):
            if self._ends(event):
                break
            for choice in event.get("choices") or ():
                delta = choice.get("delta") or NOTHING
                text += delta.get("content") or ""
                reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
                if reason := choice.get("finish_reason"):
                    self._finish_reason = FINISH_REASONS.get(reason, FinishReason.STOP)
        return Chunk(self._text.feed(text), reasoning) if text or reasoning else None

    def check(self) -> None:
        """Raises the TurnFailed that was read, if there was one."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> Chunk:
        """The last chunk, once the stream has ended."""
        if self._finish_reason is None:
            raise ProviderTruncated
        return Chunk(text=self._text.flush(), finish_reason=self._finish_reason, usage=self._usage)

    def _ends(self, event: Any) -> bool:
        if not isinstance(event, dict):
            self._failure = TurnFailed("The provider sent something that is no chat completion.")
        elif error := event.get("error"):
            self._failure = failure_of(error)
        elif "usage" in event or "x_groq" in event:
            self._usage = usage_of(event) or self._usage
        return self._failure is not None


def usage_of(event: dict[str, Any]) -> Usage | None:
    """The tokens an event reports: OpenAI at its top, Groq in `x_groq`."""
    usage = event.get("usage") or (event.get("x_groq") or {}).get("usage")
    if not usage:
        return None
    return Usage(usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)


def failure_of(error: Any) -> TurnFailed:
    """An error object as ours. Its own words may hold a key or another customer's data: they go nowhere."""
    members = error if isinstance(error, dict) else {}
    kinds = {str(members.get("code")), str(members.get("type"))}
    if any("context_length" in kind or "context_size" in kind for kind in kinds):
        return ContextTooLong()
    if kinds & RATE_LIMIT_KINDS:
        return ProviderRateLimited()
    return ProviderAuth() if kinds & AUTH_KINDS else TurnFailed()
