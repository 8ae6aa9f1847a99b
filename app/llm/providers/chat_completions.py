"""The wire that OpenAI and everyone compatible speaks: a JSON request, an answer in Server-Sent Events.

The official SDKs build a model per streamed chunk and walk every message of a request in Python (measured:
245 ms at 1,000 messages). Here they do what they are good at, which is URLs, credentials, connections and
errors, while body and events go through orjson.
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
    Said,
    reason_of,
    said_in,
    usage_in,
)

END_SECONDS = 0.25
"""Seconds that a provider has to end the body behind `[DONE]`, so that its connection can be used again."""

FLOODED_TEXT = re.compile(
    rb'"(content|reasoning(?:_content)?)"\s*:\s*"((?:[^"\\\x00-\x1f]|\\(?:[^u]|u[0-9a-fA-F]{4}))*+)'
)
"""A text in an event that was cut amid it; possessive, so that it never backtracks."""

NOT_A_COMPLETION = "The provider sent something that is not a chat completion."
DONE = {b"[DONE]", b"[done]", b'"[DONE]"'}
"""The mark behind the last event; as JSON too, from gateways that encode every payload."""

MALFORMED: Any = object()
MAX_JOINS = 100

log = logging.getLogger(__name__)


def request_body(request: ChatRequest, **optional: Any) -> bytes:
    """The body of a streamed chat completion; what is not given stays the provider's own choice."""
    return orjson.dumps({"model": request.model, "messages": request.messages, "stream": True, **optional})


async def read_chunks(
    received: AsyncIterator[bytes], lost: tuple[type[Exception], ...] = (), encoding: str = ""
) -> AsyncIterator[Chunk]:
    """Chunks out of the bytes of an answer: one for all the events that arrive together.

    Args:
        received: The bytes, however they are cut.
        lost: What is raised when the connection is lost; that takes nothing from a reply that had its finish reason.
        encoding: The answer's `Content-Encoding`.

    Raises:
        ProviderTruncated: the answer ended before the reply was whole, see `ReplyReader.end`.
        TurnFailed: it held an error, or something that is not a chat completion.
    """
    stream, reply = EventStream(), ReplyReader()
    body = inflated(received, encoding)
    broken: Exception | None = None
    try:
        async for data in body:
            chunk = reply.read(stream.feed(data))
            if chunk is not None:
                yield chunk
            reply.check()
            if reply.done:
                yield reply.end()
                await ended(body, lost)
                return
            if stream.flooded is not None:
                yield reply.cut(stream.flooded)
                return
    except lost as error:
        broken = error
    chunk = reply.read(stream.rest())
    if chunk is not None:
        yield chunk
    reply.check()
    if broken is not None and not reply.finished:
        raise broken
    yield reply.end(foreign=stream.foreign)


async def ended(body: AsyncIterator[bytes], lost: tuple[type[Exception], ...]) -> None:
    """Waits a moment for the end of a body of which nothing more is wanted."""
    with contextlib.suppress(TimeoutError, *lost):
        async with asyncio.timeout(END_SECONDS):
            async for _ in body:
                pass


class Payloads:
    """Reads payloads as JSON, and passes over those that are none."""

    def __init__(self) -> None:
        self.passed_over = 0
        """Number of payloads that were no object, and nothing of the reply."""
        self.lost_text = False
        """True if one of them was an event with text, or the beginning of one, which cannot be read."""
        self._broken: list[bytes] = []
        self._size = 0

    def objects(self, payloads: Sequence[bytes]) -> Iterator[dict[str, Any]]:
        """The objects in payloads; those of a list one by one."""
        for event in self._parsed(payloads):
            for each in event if isinstance(event, list) else [event]:
                if isinstance(each, dict):
                    yield each
                else:
                    self.passed_over += 1

    def end(self) -> None:
        """Gives up what was waited for: the rest of an object in several lines."""
        if self._broken:
            self.passed_over += 1
            self.lost_text = self.lost_text or LOST_TEXT.search(b"\n".join(self._broken)) is not None
            self._broken, self._size = [], 0

    def _parsed(self, payloads: Sequence[bytes]) -> Iterator[Any]:
        """Parsed in one go, since that costs half of one by one."""
        if not self._broken:
            with contextlib.suppress(orjson.JSONDecodeError):
                yield from orjson.loads(b"[%b]" % b",".join(payloads))
                return
        for payload in payloads:
            event = parsed(payload)
            if not self._broken or isinstance(event, dict):
                self.end()
            if event is MALFORMED or self._broken:
                event = self._joined(payload)
            if event is not MALFORMED:
                yield event

    def _joined(self, payload: bytes) -> Any:
        """An object that came in several lines, once it is whole."""
        if not self._broken and payload[:1] not in {b"{", b"["}:
            self.passed_over += 1
            self.lost_text = self.lost_text or LOST_TEXT.search(payload) is not None
            return MALFORMED
        self._broken.append(payload)
        self._size += len(payload)
        if self._size > MAX_EVENT_BYTES or len(self._broken) > MAX_JOINS:
            self.end()
            return MALFORMED
        event = parsed(b"\n".join(self._broken)) if payload.endswith((b"}", b"]")) else MALFORMED
        if event is not MALFORMED:
            self._broken, self._size = [], 0
        return event


def parsed(payload: bytes) -> Any:
    """A payload as JSON, or MALFORMED.

    With the parser that accepts halves of surrogate pairs and bare control characters; bytes that are no UTF-8, as of
    a character that a server has cut in two, become U+FFFD.
    """
    try:
        return json.loads(payload.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        return MALFORMED


def plain_text(event: dict[str, Any]) -> str | None:
    """The text of an event that holds nothing else, as nearly all do; None of another, which is read with care."""
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
    """Puts events together to chunks, and knows whether the reply is whole.

    Some servers put a finish reason on every chunk (older FastChat, several gateways): once text has followed one,
    those of this reply no longer say that it is finished.
    """

    def __init__(self) -> None:
        self.done = False
        """True if `[DONE]` was read."""
        self._payloads = Payloads()
        self._text = StorableText()
        self._message = ""
        self._by_deltas = self._by_message = self._refused = False
        self._choices = 0
        self._finish_reason: FinishReason | None = None
        self._resumed = self._ending = False
        self._usage: Usage | None = None
        self._failure: TurnFailed | None = None

    def read(self, payloads: Sequence[bytes]) -> Chunk | None:
        """One chunk for these payloads, or None when they hold no text, no thinking, no usage and no end.

        What stands before an error is part of the reply, so the error waits for `check`.
        """
        if not payloads or self._failure is not None:
            return None
        text, thinking = "", ""
        unfinished, known = not self.finished, self._usage
        place = next((n for n, payload in enumerate(payloads) if len(payload) < 9 and payload in DONE), None)
        for event in self._payloads.objects(payloads[:place]):
            if self._payloads.lost_text:
                self._note_lost_text()
            elif self._finish_reason is None and (plain := plain_text(event)):
                self._by_deltas = True
                text += plain
                continue
            said = self._take(event) if self._failure is None else Said()
            text += said.text
            thinking += said.thinking
            if self._failure is not None:
                break
        self.done = place is not None
        self._note_lost_text()
        ends = self._finish_reason if unfinished and self.finished else None
        usage = None if self._usage is known else self._usage
        if not (text or thinking or ends or usage):
            return None
        return Chunk(self._text.feed(text), storable(thinking), ends, usage)

    @property
    def finished(self) -> bool:
        """Return whether it had its finish reason, and no text behind it."""
        return self._finish_reason is not None and not self._resumed

    def check(self) -> None:
        """Raises the TurnFailed that was read, if there was one."""
        if self._failure is not None:
            raise self._failure

    def cut(self, line: bytes) -> Chunk:
        """The last chunk, where a line was too long to be read to its end: what there is of its text.

        Raises:
            TurnFailed: it is no text that is so long.
        """
        if self.finished:
            return self.end()
        found = max(FLOODED_TEXT.finditer(line), key=lambda each: len(each[2]), default=None)
        if not line.startswith((b"data:", b"{")) or found is None:
            raise ProviderFailed(NOT_A_COMPLETION)
        said: str = json.loads(b'"%b"' % found[2].decode(errors="ignore").encode())
        text, thought = (said, "") if found[1] == b"content" else ("", said)
        last = self._text.feed(text) + self._text.flush()
        return Chunk(last, storable(thought), FinishReason.LENGTH, self._usage)

    def end(self, *, foreign: bool = False) -> Chunk:
        """The last chunk, once the answer has ended.

        Whole is what had `[DONE]`; or a finish reason without text behind it; or, where text has followed one, a
        finish reason on its very last chunk; or what came as one JSON document.

        Args:
            foreign: Whether there was something in the answer that is no event stream.

        Raises:
            ProviderTruncated: it is not whole.
            TurnFailed: it was no chat completion at all.
        """
        self._payloads.end()
        if self._payloads.passed_over:
            log.warning("payloads of a reply were passed over", extra={"payloads": self._payloads.passed_over})
        whole = self.done or self.finished or self._ending or (foreign and self._by_message)
        if not whole:
            if foreign and not (self._choices or self._by_deltas):
                raise TurnFailed(NOT_A_COMPLETION)
            raise ProviderTruncated
        self._note_lost_text()
        self.check()
        reason = self._finish_reason or FinishReason.STOP
        if self._refused and reason is FinishReason.STOP:
            reason = FinishReason.CONTENT_FILTER
        return Chunk(text=self._text.flush(), finish_reason=reason, usage=self._usage)

    def _take(self, event: dict[str, Any]) -> Said:
        """Return an event's chunk; its end, its usage and its error are noted."""
        text = thinking = ""
        try:
            if not self.finished and (error := error_in(event)):
                self._failure = failure_of(error)
                return Said()
            self._note_usage(event)
            for choice in event.get("choices") or ():
                self._note_usage(choice)  # Moonshot reports it there
                said = self._said(choice)
                text += said.text + said.refusal
                thinking += said.thinking
                self._refused = self._refused or bool(said.refusal)
                reason = choice.get("finish_reason") or choice.get("finishReason")  # Gemini's gateways
                self._note_end(reason_of(reason), more=bool(text or thinking))
        except (AttributeError, TypeError):  # members of other types than a completion's
            if not self.finished:
                self._failure = ProviderFailed(NOT_A_COMPLETION)
        return Said(text, thinking)

    def _said(self, choice: dict[str, Any]) -> Said:
        """Return a choice's content: its delta, else its message or its text, which some servers repeat at the end."""
        self._choices += 1
        delta = choice.get("delta")
        said = said_in(delta) if isinstance(delta, dict) else Said(delta or "")
        if any(said):
            self._by_deltas = True
            return said
        if self._by_deltas:
            return said
        message = choice.get("message")
        if not isinstance(message, dict):
            return Said(choice.get("text") or "")  # completions without chat
        whole = said_in(message)
        if not any(whole):
            return said
        self._by_message = True
        # Each may hold all that was said so far (Perplexity), or only what is new.
        before = self._message if whole.text.startswith(self._message) else ""
        self._message = whole.text if before else self._message + whole.text
        return whole._replace(text=whole.text.removeprefix(before))

    def _note_end(self, reason: str, *, more: bool) -> None:
        """Takes note of why a choice says that it ends; behind an end `more` text takes that back."""
        if more and self._finish_reason is not None:
            self._resumed = True
        if reason in FAILURE_REASONS:
            if not self.finished:
                self._failure = ProviderFailed()
            return
        if reason:
            self._finish_reason = FINISH_REASONS.get(reason, FinishReason.STOP)
        self._ending = bool(reason) and self._resumed

    def _note_usage(self, reporting: dict[str, Any]) -> None:
        if reporting.get("usage") or reporting.get("x_groq"):
            self._usage = usage_in(reporting) or self._usage

    def _note_lost_text(self) -> None:
        if self._payloads.lost_text and not self.finished and self._failure is None:
            self._failure = ProviderFailed(NOT_A_COMPLETION)
