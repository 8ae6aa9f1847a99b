"""Payloads out of the bytes of an answer: an event stream, JSON by lines, or one JSON document, as servers really send.

| accepted form | seen at |
|---|---|
| `data:` with and without a blank behind it, LF, CRLF or CR | WHATWG HTML, section 9.2 |
| a last line without a newline; `[DONE]` in one, before the body ends | proxies that trim; LM Studio |
| a byte order mark before the first line, or any other | gateways in .NET and Java, that encode each event by itself |
| `data: data:` | gateways that frame again what was framed |
| `event: error` before a payload | OpenRouter, Anthropic, Groq |
| a field `error:` in place of `data:` | llama.cpp until 2025 |
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
"""Longest event of a provider; one that sends more floods us, and its reply ends there."""

INFLATED_BYTES = 2**16
"""Bytes that are unpacked at a time, however little of it there is."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP = b"\x1f"
"""The first byte of gzip's two, with which no text begins."""

LAST_LINE = re.compile(rb"data:\s*\[DONE\]\s*")
LONGEST_LAST_LINE = 32

UNREAD_FIELDS = {b"id", b"retry"}


class EventStream:
    """Takes an answer apart into the payloads of its lines, however its bytes are cut."""

    def __init__(self) -> None:
        self.flooded: bytes | None = None
        """The beginning of a line that is too long; nothing after it is read."""
        self.foreign = False
        """True if a line came that has no place in an event stream."""
        self._parts: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._failing = False

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the lines that are whole by now."""
        data = self._with_newlines(data)
        lines: list[bytes] = []
        if b"\n" in data:
            *lines, data = b"".join([*self._parts, data]).split(b"\n")
            self._parts, self._size = [], 0
        self._keep(data)
        payloads = self._payloads(lines)
        return payloads + self.rest() if self._ends else payloads

    def rest(self) -> list[bytes]:
        """The payload of the last line, once there is no more to come."""
        line = b"".join(self._parts)
        self._parts, self._size = [], 0
        return self._payloads([line])

    @property
    def _ends(self) -> bool:
        """Return whether what has come of a line is `[DONE]`, whose newline nobody has to wait for."""
        return 0 < self._size <= LONGEST_LAST_LINE and LAST_LINE.fullmatch(b"".join(self._parts)) is not None

    def _with_newlines(self, data: bytes) -> bytes:
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
        if data:
            self._after_return = data.endswith(b"\r")
        if b"\r" in data:
            return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _keep(self, data: bytes) -> None:
        """Keeps what may be the beginning of a line, without copying it again with each piece."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            self.flooded = b"".join(self._parts)

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
        """The payload of a line that does not begin with `data:`; empty where it has none."""
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
    """An error as the payload that it would be as an event of its own."""
    if value[:1] in {b"{", b"[", b'"'}:
        return b'{"error":%b}' % value
    return json.dumps({"error": value.decode(errors="replace")}).encode()


async def inflated(received: AsyncIterator[bytes], encoding: str = "") -> AsyncIterator[bytes]:
    """Bytes as they are, or uncompressed where they begin as gzip or are said to be deflated.

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
            raise OSError("the answer cannot be uncompressed") from error


class Inflater:
    """Uncompresses a stream of gzip, of several one after another, or of deflate with or without zlib's head."""

    def __init__(self) -> None:
        self._head = b""
        self._stream: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpack the data, in pieces of a bounded size."""
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
    """The `wbits` with which zlib reads gzip, zlib's own form (RFC 1950, section 2.2) or bare deflate."""
    if head.startswith(GZIP):
        return zlib.MAX_WBITS | 16
    with_head = head[0] & 15 == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if with_head else -zlib.MAX_WBITS
