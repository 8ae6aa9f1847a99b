"""Office documents are ZIP archives of XML: what one unpacks to is counted before a library opens it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator

from lxml.etree import ErrorTypes, LxmlError, XMLSyntaxError

from app.domain.documents import DocumentFailure
from app.rag.extraction.errors import (
    CORRUPT,
    ENCRYPTED,
    OUT_OF_MEMORY,
    TOO_DEEP,
    TOO_MANY_ELEMENTS,
    TOO_MANY_MEMBERS,
    TOO_MUCH_TEXT,
    UNPACKED_TOO_LARGE,
    ExtractionError,
)
from app.rag.extraction.limits import Limits

PIECE = 65536
ENCRYPTED_FLAG = 1
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError)
"""What archives that lie are met with; the last is zipfile's word for a compression that no office program writes."""
BEFORE_XML = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"
"""Bytes that may stand before the first tag: marks of UTF-8 and UTF-16, and blanks."""


def checked(content: bytes, limits: Limits) -> io.BytesIO:
    """The archive as a file, once its members are known to be few, whole and of bounded size, by word and in truth.

    Raises:
        Unreadable: they are not.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > limits.members:
                raise ExtractionError(TOO_MANY_MEMBERS)
            if sum(each.file_size for each in members) > limits.unpacked_bytes:
                raise ExtractionError(UNPACKED_TOO_LARGE)
            if any(each.flag_bits & ENCRYPTED_FLAG for each in members):
                raise ExtractionError(ENCRYPTED)
            count(archive, limits)
    except UNREADABLE as error:
        raise ExtractionError(CORRUPT) from error
    return io.BytesIO(content)


def count(archive: zipfile.ZipFile, limits: Limits) -> None:
    """Unpacks all members, piece by piece, which verifies their check sums too.

    Raises:
        Unreadable: they are larger, or their XML has more elements and attributes, than the limits.
    """
    size = elements = 0
    for member in archive.infolist():
        is_xml = None
        for piece in pieces(archive, member):
            size += len(piece)
            if size > limits.unpacked_bytes:
                raise ExtractionError(UNPACKED_TOO_LARGE)
            if is_xml is None:
                is_xml = piece.lstrip(BEFORE_XML).startswith(b"<")
            if is_xml:
                elements += piece.count(b"<") - piece.count(b"</") + piece.count(b"=")
            if elements > limits.xml_elements:
                raise ExtractionError(TOO_MANY_ELEMENTS)


def pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes that a member really has."""
    with archive.open(member) as file:
        while piece := file.read(PIECE):
            yield piece


def failure_of(error: LxmlError) -> DocumentFailure:
    """Explain why XML cannot be parsed: libxml2 has limits of its own, of depth and of the bytes of one text."""
    if not isinstance(error, XMLSyntaxError):
        return CORRUPT
    if error.code == ErrorTypes.ERR_NO_MEMORY:
        return OUT_OF_MEMORY
    if error.code == ErrorTypes.ERR_RESOURCE_LIMIT:
        return TOO_DEEP if "depth" in str(error) else TOO_MUCH_TEXT  # one code for both
    return CORRUPT
