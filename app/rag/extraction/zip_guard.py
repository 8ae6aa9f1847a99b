"""Checks of Office archives before a library opens them: their members, unpacked size and XML elements."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from lxml.etree import LxmlError

PIECE_BYTES = 65536
ENCRYPTED_FLAG = 1
CORRUPT_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError)
"""Raised by `zipfile` for false or damaged archives; the last for a compression that no office program writes."""
BEFORE_XML = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"
"""Bytes that may precede the first tag: byte order marks of UTF-8 and UTF-16, and blanks."""


def open_checked(content: bytes, limits: Limits) -> io.BytesIO:
    """Return an archive as a file, once it is known to be within the limits.

    Both the sizes that it states and those that it unpacks to are checked.

    Raises:
        ExtractionError: it is damaged, encrypted or over a limit.
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
            check_unpacked(archive, limits)
    except CORRUPT_ARCHIVE as error:
        raise ExtractionError(CORRUPT) from error
    return io.BytesIO(content)


def check_unpacked(archive: zipfile.ZipFile, limits: Limits) -> None:
    """Unpack all members piece by piece, which also verifies their checksums.

    Raises:
        ExtractionError: they are larger, or their XML has more elements and attributes, than the limits.
    """
    size = elements = 0
    for member in archive.infolist():
        is_xml = None
        for piece in unpacked_pieces(archive, member):
            size += len(piece)
            if size > limits.unpacked_bytes:
                raise ExtractionError(UNPACKED_TOO_LARGE)
            if is_xml is None:
                is_xml = piece.lstrip(BEFORE_XML).startswith(b"<")
            if is_xml:
                elements += piece.count(b"<") - piece.count(b"</") + piece.count(b"=")
            if elements > limits.xml_elements:
                raise ExtractionError(TOO_MANY_ELEMENTS)


def unpacked_pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(member) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def xml_failure(error: LxmlError) -> DocumentFailure:
    """Return the failure for XML that libxml2 rejects: it bounds depth and the bytes of one text itself."""
    from lxml.etree import ErrorTypes, XMLSyntaxError

    if not isinstance(error, XMLSyntaxError):
        return CORRUPT
    if error.code == ErrorTypes.ERR_NO_MEMORY:
        return OUT_OF_MEMORY
    if error.code == ErrorTypes.ERR_RESOURCE_LIMIT:
        return TOO_DEEP if "depth" in str(error) else TOO_MUCH_TEXT  # one code for both
    return CORRUPT
