"""A place in a list, opaque to the caller, and the header that points to the next page."""

from __future__ import annotations

import base64
import binascii
import struct
import uuid
import zlib
from urllib.parse import urlencode

from starlette.requests import Request

from app.errors import InvalidRequest

PLACE = struct.Struct(">q16s")


def encoded(moment: int, object_id: str) -> str:
    """A cursor behind an object."""
    place = PLACE.pack(moment, uuid.UUID(object_id).bytes)
    return base64.urlsafe_b64encode(place + zlib.crc32(place).to_bytes(4)).decode().rstrip("=")


def decoded(cursor: str) -> tuple[int, str]:
    """The moment and the id of the object that a cursor is behind.

    Raises:
        InvalidRequest: it is none of ours.
    """
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        moment, object_id = PLACE.unpack(data[:-4])
    except (binascii.Error, struct.error, ValueError) as error:
        raise InvalidRequest("The cursor is not one of ours.", pointer="?cursor") from error
    if encoded(moment, str(uuid.UUID(bytes=object_id))) != cursor:
        raise InvalidRequest("The cursor is not one of ours.", pointer="?cursor")
    return moment, str(uuid.UUID(bytes=object_id))


def next_link(request: Request, **changes: str | int) -> dict[str, str]:
    """The header for the next page (RFC 8288): the same request with other parameters."""
    query = dict(request.query_params) | {name: str(value) for name, value in changes.items()}
    return {"Link": f'<{request.scope["path"]}?{urlencode(query)}>; rel="next"'}
