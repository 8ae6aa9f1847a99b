"""The wire format of OpenAI's chat completions: a JSON request, a response in Server-Sent Events.

The official SDKs build a model per streamed chunk and walk every message of a request in Python (measured:
245 ms at 1,000 messages). Here they handle URLs, credentials, connections and errors, while body and events
go through orjson.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import orjson

from app.domain.messages import FinishReason, Usage
from app.domain.storable_text import StorableText, storable
from app.errors import ProviderFailed, ProviderTruncated, TurnFailed
from app.llm.base import ChatRequest, Chunk
from app.llm.providers.error_mapping import error_in, failure_of
from app.llm.providers.event_stream import MAX_EVENT_BYTES, EventStream, inflated
from app.llm.providers.response_fields import (
    FAILURE_REASONS,
    FINISH_REASONS,
    LOST_TEXT,
    Content,
    normalise_reason,
    read_content,
    read_usage,
)

DRAIN_SECONDS = 0.25
"""Seconds in which a provider may end the body after `[DONE]`, so that its connection can be reused."""

OVERSIZED_TEXT = re.compile(
    rb'"(content|reasoning(?:_content)?)"\s*:\s*"((?:[^"\\\x00-\x1f]|\\(?:[^u]|u[0-9a-fA-F]{4}))*+)'
)
"""A text in an event that was cut off within it; possessive, so that it never backtracks."""

NOT_A_COMPLETION = "The provider sent no chat completion; the operator should check its base URL."
DONE = {b"[DONE]", b"[done]", b'"[DONE]"'}
"""The mark after the last event; also as JSON, from gateways that encode every payload."""

MALFORMED: Any = object()
MAX_JOINED_LINES = 100

log = logging.getLogger(__name__)


def request_body(request: ChatRequest, **optional: Any) -> bytes:
    """Return the body of a streamed chat completion; the provider chooses the optional members that are left out."""
    return orjson.dumps({"model": request.model, "messages": request.messages, "stream": True, **optional})


async def read_chunks(
    received: AsyncIterator[bytes], connection_errors: tuple[type[Exception], ...] = (), encoding: str = ""
) -> AsyncIterator[Chunk]:
    """Read chunks from the bytes of a response: one for all events that arrive together.

    Args:
        received: The bytes, cut anywhere.
        connection_errors: Exceptions for a lost connection; they are ignored once the reply has its finish reason.
        encoding: The response's `Content-Encoding`.

    Raises:
        ProviderTruncated: the response ended before the reply was complete, see `ReplyReader.end`.
        TurnFailed: it held an error, or is not a chat completion.
    """
    stream, reply = EventStream(), ReplyReader()
    body = inflated(received, encoding)
    lost_connection: Exception | None = None
    try:
        async for data in body:
            chunk = reply.read(stream.feed(data))
            if chunk is not None:
                yield chunk
            reply.check()
            if reply.done:
                yield reply.end()
                await drain(body, connection_errors)
                return
            if stream.oversized is not None:
                yield reply.cut(stream.oversized)
                return
    except connection_errors as error:
        lost_connection = error
    chunk = reply.read(stream.rest())
    if chunk is not None:
        yield chunk
    reply.check()
    if lost_connection is not None and not reply.finished:
        raise lost_connection
    yield reply.end(foreign=stream.foreign)


async def drain(body: AsyncIterator[bytes], connection_errors: tuple[type[Exception], ...]) -> None:
    """Read the rest of a body for `DRAIN_SECONDS` at most, and discard it."""
    with contextlib.suppress(TimeoutError, *connection_errors):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in body:
                pass


class JsonPayloads:
    """Parses payloads as JSON, and skips invalid ones."""

    def __init__(self) -> None:
        self.skipped = 0
        """Number of payloads that were not an object."""
        self.lost_text = False
        """True if one of them was an event with text, or the beginning of one, that cannot be parsed."""
        self._broken: list[bytes] = []
        self._size = 0

    def objects(self, payloads: Sequence[bytes]) -> Iterator[dict[str, Any]]:
        """Yield the objects in payloads, those of a list one by one."""
        for event in self._parsed(payloads):
            for each in event if isinstance(event, list) else [event]:
                if isinstance(each, dict):
                    yield each
                else:
                    self.skipped += 1

    def end(self) -> None:
        """Skip an object in several lines whose rest is missing."""
        if self._broken:
            self.skipped += 1
            self.lost_text = self.lost_text or LOST_TEXT.search(b"\n".join(self._broken)) is not None
            self._broken, self._size = [], 0

    def _parsed(self, payloads: Sequence[bytes]) -> Iterator[Any]:
        """Yield the parsed payloads; parsing them together costs half as much as one by one."""
        if not self._broken:
            with contextlib.suppress(orjson.JSONDecodeError):
                yield from orjson.loads(b"[%b]" % b",".join(payloads))
                return
        for payload in payloads:
            event = parse_payload(payload)
            if not self._broken or isinstance(event, dict):
                self.end()
            if event is MALFORMED or self._broken:
                event = self._join(payload)
            if event is not MALFORMED:
                yield event

    def _join(self, payload: bytes) -> Any:
        """Return an object that came in several lines once it is complete, else MALFORMED."""
        if not self._broken and payload[:1] not in {b"{", b"["}:
            self.skipped += 1
            self.lost_text = self.lost_text or LOST_TEXT.search(payload) is not None
            return MALFORMED
        self._broken.append(payload)
        self._size += len(payload)
        if self._size > MAX_EVENT_BYTES or len(self._broken) > MAX_JOINED_LINES:
            self.end()
            return MALFORMED
        event = parse_payload(b"\n".join(self._broken)) if payload.endswith((b"}", b"]")) else MALFORMED
        if event is not MALFORMED:
            self._broken, self._size = [], 0
        return event


def parse_payload(payload: bytes) -> Any:
    """Parse a payload as JSON; MALFORMED if it is not.

    The parser accepts lone surrogates and bare control characters. Invalid UTF-8, as of a character that a server has
    cut in two, becomes U+FFFD.
    """
    try:
        return json.loads(payload.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        return MALFORMED


def plain_text(event: dict[str, Any]) -> str | None:
    """Return the text of an event that holds nothing else, as most do; None for others, which take the slow path."""
    choices = event.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or event.get("usage") or event.get("error"):
        return None
    choice = choices[0]
    delta = choice.get("delta") if isinstance(choice, dict) and not choice.get("finish_reason") else None
    if not isinstance(delta, dict) or len(delta) != 1 or "x_groq" in event or "usage" in choice:
        return None
    content = delta.get("content")
    return content if isinstance(content, str) else None


class ReplyReader:
    """Turns events into chunks, and checks that the reply is complete.

    Some servers put a finish reason on every chunk (older FastChat, several gateways): once text has followed one,
    this reply's finish reasons no longer end it.
    """

    def __init__(self) -> None:
        self.done = False
        """True if `[DONE]` was read."""
        self._payloads = JsonPayloads()
        self._text = StorableText()
        self._message = ""
        """The whole message so far, of a server that sends messages instead of deltas."""
        self._by_deltas = self._by_message = False
        """True once content has come in a delta, or in a whole message."""
        self._refused = False
        """True once the model has refused (OpenAI's `refusal`)."""
        self._choices = 0
        self._finish_reason: FinishReason | None = None
        self._resumed = False
        """True once content has followed a finish reason."""
        self._ends_last = False
        """True if content has followed a finish reason, and the last choice has one again."""
        self._usage: Usage | None = None
        self._failure: TurnFailed | None = None

    def read(self, payloads: Sequence[bytes]) -> Chunk | None:
        """Return one chunk for these payloads; None when they hold no text, reasoning, usage or end.

        Text before an error is part of the reply, so `check` raises the error later.
        """
        if not payloads or self._failure is not None:
            return None
        text, reasoning = "", ""
        unfinished, known = not self.finished, self._usage
        index = next((n for n, payload in enumerate(payloads) if len(payload) < 9 and payload in DONE), None)
        for event in self._payloads.objects(payloads[:index]):
            if self._payloads.lost_text:
                self._record_lost_text()
            elif self._finish_reason is None and (plain := plain_text(event)):
                self._by_deltas = True
                text += plain
                continue
            content = self._read_event(event) if self._failure is None else Content()
            text += content.text
            reasoning += content.reasoning
            if self._failure is not None:
                break
        self.done = index is not None
        self._record_lost_text()
        ends = self._finish_reason if unfinished and self.finished else None
        usage = None if self._usage is known else self._usage
        if not (text or reasoning or ends or usage):
            return None
        return Chunk(self._text.feed(text), storable(reasoning), ends, usage)

    @property
    def finished(self) -> bool:
        """True after a finish reason that no text has followed."""
        return self._finish_reason is not None and not self._resumed

    def check(self) -> None:
        """Raise the TurnFailed in the events read so far, if there was one."""
        if self._failure is not None:
            raise self._failure

    def cut(self, line: bytes) -> Chunk:
        """Return the last chunk from the beginning of an oversized line: the text received of it.

        Raises:
            TurnFailed: the line's length is not that of a text.
        """
        if self.finished:
            return self.end()
        found = max(OVERSIZED_TEXT.finditer(line), key=lambda each: len(each[2]), default=None)
        if not line.startswith((b"data:", b"{")) or found is None:
            raise ProviderFailed(NOT_A_COMPLETION)
        content: str = json.loads(b'"%b"' % found[2].decode(errors="ignore").encode())
        text, reasoning = (content, "") if found[1] == b"content" else ("", content)
        last = self._text.feed(text) + self._text.flush()
        return Chunk(last, storable(reasoning), FinishReason.LENGTH, self._usage)

    def end(self, *, foreign: bool = False) -> Chunk:
        """Return the last chunk, at the end of the response.

        A reply is complete with `[DONE]`; or a finish reason without text after it; or, where text has followed one,
        a finish reason on the very last chunk; or as one JSON document.

        Args:
            foreign: Whether a part of the response was not an event stream.

        Raises:
            ProviderTruncated: the reply is not complete.
            TurnFailed: the response was not a chat completion at all.
        """
        self._payloads.end()
        if self._payloads.skipped:
            log.warning("payloads of a reply were skipped", extra={"payloads": self._payloads.skipped})
        complete = self.done or self.finished or self._ends_last or (foreign and self._by_message)
        if not complete:
            if foreign and not (self._choices or self._by_deltas):
                raise TurnFailed(NOT_A_COMPLETION)
            raise ProviderTruncated
        self._record_lost_text()
        self.check()
        reason = self._finish_reason or FinishReason.STOP
        if self._refused and reason is FinishReason.STOP:
            reason = FinishReason.CONTENT_FILTER
        return Chunk(text=self._text.flush(), finish_reason=reason, usage=self._usage)

    def _read_event(self, event: dict[str, Any]) -> Content:
        """Return an event's content; keep its finish reason, usage and error."""
        text = reasoning = ""
        try:
            if not self.finished and (error := error_in(event)):
                self._failure = failure_of(error)
                return Content()
            self._record_usage(event)
            for choice in event.get("choices") or ():
                self._record_usage(choice)  # Moonshot reports it there
                content = self._choice_content(choice)
                text += content.text + content.refusal
                reasoning += content.reasoning
                self._refused = self._refused or bool(content.refusal)
                reason = choice.get("finish_reason") or choice.get("finishReason")  # Gemini's gateways
                self._record_finish_reason(normalise_reason(reason), more=bool(text or reasoning))
        except (AttributeError, TypeError):  # members of unexpected types
            if not self.finished:
                self._failure = ProviderFailed(NOT_A_COMPLETION)
        return Content(text, reasoning)

    def _choice_content(self, choice: dict[str, Any]) -> Content:
        """Return a choice's content: its delta, else its message or its text, which some servers repeat at the end."""
        self._choices += 1
        delta = choice.get("delta")
        content = read_content(delta) if isinstance(delta, dict) else Content(delta or "")
        if any(content):
            self._by_deltas = True
            return content
        if self._by_deltas:
            return content
        message = choice.get("message")
        if not isinstance(message, dict):
            return Content(choice.get("text") or "")  # completions without chat
        whole = read_content(message)
        if not any(whole):
            return content
        self._by_message = True
        # Each may hold the whole text so far (Perplexity), or only the new part.
        before = self._message if whole.text.startswith(self._message) else ""
        self._message = whole.text if before else self._message + whole.text
        return whole._replace(text=whole.text.removeprefix(before))

    def _record_finish_reason(self, reason: str, *, more: bool) -> None:
        """Keep a choice's finish reason; text after an earlier one (`more`) revokes that."""
        if more and self._finish_reason is not None:
            self._resumed = True
        if reason in FAILURE_REASONS:
            if not self.finished:
                self._failure = ProviderFailed()
            return
        if reason:
            self._finish_reason = FINISH_REASONS.get(reason, FinishReason.STOP)
        self._ends_last = bool(reason) and self._resumed

    def _record_usage(self, reporting: dict[str, Any]) -> None:
        if reporting.get("usage") or reporting.get("x_groq"):
            self._usage = read_usage(reporting) or self._usage

    def _record_lost_text(self) -> None:
        if self._payloads.lost_text and not self.finished and self._failure is None:
            self._failure = ProviderFailed(NOT_A_COMPLETION)
