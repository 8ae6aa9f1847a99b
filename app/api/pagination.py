"""Cursors of keyset pagination, opaque to clients, and the `Link` header of the next page."""

from __future__ import annotations

import base64
import binascii
import struct
import uuid
import zlib
from urllib.parse import urlencode

from starlette.requests import Request

from app.errors import InvalidRequest

POSITION = struct.Struct(">q16s")
"""Milliseconds since the epoch, and the bytes of a UUID."""
INVALID = "The cursor is invalid; use the URL in the previous page's `Link` header as it is."


def encode_cursor(moment: int, object_id: str) -> str:
    """Return the cursor of the position after an object, with a checksum."""
    position = POSITION.pack(moment, uuid.UUID(object_id).bytes)
    return base64.urlsafe_b64encode(position + zlib.crc32(position).to_bytes(4)).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[int, str]:
    """Return the moment and the id of the object that a cursor comes after.

    Raises:
        InvalidRequest: the cursor is malformed.
    """
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        moment, object_id = POSITION.unpack(data[:-4])
    except (binascii.Error, struct.error, ValueError) as error:
        raise InvalidRequest(INVALID, pointer="?cursor") from error
    if encode_cursor(moment, str(uuid.UUID(bytes=object_id))) != cursor:
        raise InvalidRequest(INVALID, pointer="?cursor")
    return moment, str(uuid.UUID(bytes=object_id))


def next_link(request: Request, **changes: str | int) -> dict[str, str]:
    """Build the `Link` header of the next page (RFC 8288): the same request with these parameters changed."""
    query = dict(request.query_params) | {name: str(value) for name, value in changes.items()}
    return {"Link": f'<{request.scope["path"]}?{urlencode(query)}>; rel="next"'}
