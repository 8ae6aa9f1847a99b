"""JSON of responses and events."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response

LINE_BREAKS = {
    "\u0085".encode(): rb"\u0085",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}
"""Characters at which clients split lines, by Unicode's rules or JavaScript's, and their escapes."""


def json_bytes(content: object) -> bytes:
    """Encode JSON in UTF-8 without a line break of any kind, so that it fits into one line of a stream."""
    document = orjson.dumps(content)  # escapes those of ASCII, and has these in strings alone
    for character, escape in LINE_BREAKS.items():
        document = document.replace(character, escape)
    return document


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Build a response from content that orjson can encode."""
    return Response(json_bytes(content), status, headers, "application/json")
