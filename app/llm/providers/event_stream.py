"""The payloads of a response: an event stream, JSON by lines, or one JSON document, as servers send them.

| accepted form | seen at |
|---|---|
| `data:` with and without a space after it, LF, CRLF or CR | WHATWG HTML, section 9.2 |
| a last line without a newline; `[DONE]` in one, before the body ends | proxies that trim; LM Studio |
| a byte order mark before the first line, or any other | gateways in .NET and Java, that encode each event separately |
| `data: data:` | gateways that frame events twice |
| `event: error` before a payload | OpenRouter, Anthropic, Groq |
| a field `error:` instead of `data:` | llama.cpp until 2025 |
| JSON without `data:`, in one line or many | servers that ignore `stream`, LiteLLM's errors within a stream |
| gzip or deflate although the request forbids it | Cloudflare, nginx in front of vLLM |
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

MAX_EVENT_BYTES = 2 * 2**20
"""Longest event in bytes; the reply ends at a longer one."""

INFLATED_BYTES = 2**16
"""Bytes that are uncompressed at a time, which bounds memory against compression bombs."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP = b"\x1f"
"""First of the two bytes at the start of gzip data; no text begins with it."""

LAST_LINE = re.compile(rb"data:\s*\[DONE\]\s*")
MAX_LAST_LINE_BYTES = 32

UNREAD_FIELDS = {b"id", b"retry"}


class EventStream:
    """Splits a response into the payloads of its lines, wherever its bytes are cut."""

    def __init__(self) -> None:
        self.oversized: bytes | None = None
        """The beginning of a line over `MAX_EVENT_BYTES`, with which reading ends; None before one has come."""
        self.foreign = False
        """True if a line came that does not belong into an event stream."""
        self._parts: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._failing = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads of the lines that are complete now."""
        data = self._with_newlines(data)
        lines: list[bytes] = []
        if b"\n" in data:
            *lines, data = b"".join([*self._parts, data]).split(b"\n")
            self._parts, self._size = [], 0
        self._store(data)
        payloads = self._payloads(lines)
        return payloads + self.rest() if self._is_done else payloads

    def rest(self) -> list[bytes]:
        """Return the payload of the last line, at the end of the response."""
        line = b"".join(self._parts)
        self._parts, self._size = [], 0
        return self._payloads([line])

    @property
    def _is_done(self) -> bool:
        """True if the incomplete line is `[DONE]`, which needs no newline."""
        return 0 < self._size <= MAX_LAST_LINE_BYTES and LAST_LINE.fullmatch(b"".join(self._parts)) is not None

    def _with_newlines(self, data: bytes) -> bytes:
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
        if data:
            self._after_return = data.endswith(b"\r")
        if b"\r" in data:
            return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _store(self, data: bytes) -> None:
        """Store the beginning of a line as parts: joining them each time would copy it again and again."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            self.oversized = b"".join(self._parts)

    def _payloads(self, lines: list[bytes]) -> list[bytes]:
        found = []
        for line in lines:
            payload = line[5:].strip() if line.startswith(b"data:") else self._field(line)
            if payload.startswith(b"data:"):
                payload = payload[5:].strip()
            if payload:
                found.append(self._marked(payload) if self._failing else payload)
        return found

    def _field(self, line: bytes) -> bytes:
        """Return the payload of a line that does not begin with `data:`; empty where it has none."""
        if not line:
            self._failing = False
            return b""
        line = line.removeprefix(BYTE_ORDER_MARK)
        name, _, value = line.partition(b":")
        field = name.strip().lower()
        if field == b"event":
            self._failing = value.strip().lower() == b"error"
        elif field == b"data":
            return value.strip()
        elif field == b"error":
            return error_payload(value.strip())
        elif field and field not in UNREAD_FIELDS:
            self.foreign = True
            return line.strip()
        return b""

    def _marked(self, payload: bytes) -> bytes:
        self._failing = False
        return error_payload(payload)


def error_payload(value: bytes) -> bytes:
    """Return an error as the payload of an error event."""
    if value[:1] in {b"{", b"[", b'"'}:
        return b'{"error":%b}' % value
    return json.dumps({"error": value.decode(errors="replace")}).encode()


async def inflated(received: AsyncIterator[bytes], encoding: str = "") -> AsyncIterator[bytes]:
    """Yield the bytes unchanged, or uncompressed where they begin as gzip or `encoding` is deflate.

    Raises:
        OSError: they cannot be uncompressed.
    """
    inflater: Inflater | None = None
    begun = False
    async for data in received:
        if not begun and data:
            begun = True
            if data.startswith(GZIP) or encoding.strip().lower() == "deflate":
                inflater = Inflater()
        if inflater is None:
            yield data
            continue
        try:
            for piece in inflater.feed(data):
                yield piece
        except zlib.error as error:
            raise OSError("the response cannot be uncompressed") from error


class Inflater:
    """Uncompresses gzip, also several streams one after another, or deflate with or without zlib's header."""

    def __init__(self) -> None:
        self._head = b""
        self._stream: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Uncompress the data, in pieces of `INFLATED_BYTES` at most."""
        if self._stream is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            self._stream = zlib.decompressobj(wbits_of(data))
        while True:
            piece = self._stream.decompress(data, INFLATED_BYTES)
            if piece:
                yield piece
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                data = self._stream.unused_data
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            if not data and len(piece) < INFLATED_BYTES:
                return


def wbits_of(head: bytes) -> int:
    """Return zlib's `wbits` for gzip, zlib's own format (RFC 1950, section 2.2) or raw deflate."""
    if head.startswith(GZIP):
        return zlib.MAX_WBITS | 16
    has_header = head[0] & 15 == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
