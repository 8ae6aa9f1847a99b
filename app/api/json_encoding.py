"""JSON as every answer has it."""

from __future__ import annotations

import orjson

LINE_BREAKS = {
    "\u0085".encode(): rb"\u0085",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}
"""Characters at which clients split lines, by Unicode's rules or JavaScript's, and the escapes that stand for them."""


def json_bytes(content: object) -> bytes:
    """JSON in UTF-8 without a line break of any kind, so that it may stand in one line of a stream."""
    document = orjson.dumps(content)  # escapes those of ASCII, and has these in strings alone
    for character, escape in LINE_BREAKS.items():
        document = document.replace(character, escape)
    return document
