"""Office documents are ZIP archives: what one unpacks to is counted before a library opens it."""

from __future__ import annotations

import io
import zipfile
import zlib

from app.rag.limits import Limits
from app.rag.unreadable import CORRUPT, ENCRYPTED, TOO_LARGE, Unreadable

MEMBERS = 10_000
PIECE = 65536
ENCRYPTED_FLAG = 1
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError)
"""What archives that lie are met with; the last is zipfile's word for a compression that no office program writes."""


def checked(content: bytes, limits: Limits) -> io.BytesIO:
    """The archive as a file, once its members are known to be few, whole and of bounded size, by word and in truth.

    Raises:
        Unreadable: they are not.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > MEMBERS or sum(each.file_size for each in members) > limits.unpacked_bytes:
                raise Unreadable(TOO_LARGE)
            if any(each.flag_bits & ENCRYPTED_FLAG for each in members):
                raise Unreadable(ENCRYPTED)
            left = limits.unpacked_bytes
            for each in members:
                left -= unpacked_size(archive, each, left)
    except UNREADABLE as error:
        raise Unreadable(CORRUPT) from error
    return io.BytesIO(content)


def unpacked_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> int:
    """The bytes that a member really has; its check sum is verified on the way."""
    size = 0
    with archive.open(member) as file:
        while piece := file.read(PIECE):
            size += len(piece)
            if size > limit:
                raise Unreadable(TOO_LARGE)
    return size
