"""The content types that an Office package declares, read from the beginning and the end of its file."""

from __future__ import annotations

import re
import zlib

END_OF_ZIP = b"PK\x05\x06"
CONTENT_TYPES = re.compile(rb"PK\x01\x02.{6}(.{2}).{30}(.{4})\[Content_Types\]\.xml", re.DOTALL | re.IGNORECASE)
"""The entry of a ZIP directory for the list of content types, with its method of compression and its place."""
HEADER_BYTES = 30
STORED, DEFLATED = 0, 8
READ_BYTES = 1 << 18


def directory_of(tail: bytes) -> tuple[int, int] | None:
    """Return where a ZIP file's own directory begins and ends in its last bytes; None if it has none."""
    end = tail.rfind(END_OF_ZIP)
    if end < 0:
        return None
    return max(0, end - number_at(tail, end + 12)), end


def declared_types(head: bytes, tail: bytes) -> bytes:
    """Return the XML of the content types; empty if it is not in the first or last bytes, or cannot be read."""
    place = directory_of(tail)
    entry = None if place is None else CONTENT_TYPES.search(tail, *place)
    if place is None or entry is None:
        return b""
    method, start = int.from_bytes(entry[1], "little"), int.from_bytes(entry[2], "little")
    before_tail = number_at(tail, place[1] + 16) - place[0]
    window, start = (head, start) if start < len(head) else (tail, start - before_tail)
    if start < 0:
        return b""
    start += HEADER_BYTES + number_at(window, start + 26, 2) + number_at(window, start + 28, 2)
    if method == STORED:
        return window[start : start + READ_BYTES]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(window[start:], READ_BYTES) if method == DEFLATED else b""
    except zlib.error:
        return b""


def number_at(content: bytes, place: int, size: int = 4) -> int:
    return int.from_bytes(content[place : place + size], "little")
