"""Detection of a file's media type by its bytes; the file name only distinguishes texts."""

from __future__ import annotations

import codecs
import re

from app.rag.extraction.formats.html import PROLOGUE
from app.rag.extraction.formats.plain import FORMAT as PLAIN_TEXT
from app.rag.extraction.office.content_types import declared_types, directory_of
from app.rag.extraction.registry import FORMATS
from app.rag.extraction.wide_encodings import marked_encoding, unmarked_wide_encoding

WINDOW = 65536
"""Bytes at the beginning and at the end of a file that detection reads."""

BY_SIGNATURE = [(each.signature, each.media_type) for each in FORMATS.values() if each.signature is not None]
OFFICE = [(each.office, each.media_type) for each in FORMATS.values() if each.office is not None]
BY_TEXT = [(each.matches_text, each.media_type) for each in FORMATS.values() if each.matches_text is not None]
BY_EXTENSION = {
    extension: each.media_type
    for each in FORMATS.values()
    if each.is_text and each.matches_text is None
    for extension in each.extensions
}

SVG_START = re.compile(PROLOGUE + r"(?:<!doctype\s+svg|<svg)\b", re.IGNORECASE | re.DOTALL)
NO_TEXT = ("{\\rtf", "%!PS")
CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")

START_OF_ZIP = b"PK\x03\x04"


def detect_media_type(head: bytes, tail: bytes, name: str) -> str | None:
    """Return a file's media type by its first and last `WINDOW` bytes; None if it is not read here."""
    for matches, media_type in BY_SIGNATURE:
        if matches(head, tail):
            return media_type
    if head.startswith(START_OF_ZIP):
        return office_media_type(head, tail)
    text = start_of_text(head, tail)
    return None if text is None else text_media_type(text, name)


def office_media_type(head: bytes, tail: bytes) -> str | None:
    """Return the media type of an Office document by the content types that it declares, or else by its folders.

    Only the file's own directory counts, not those of archives within it.
    """
    types, place = declared_types(head, tail), directory_of(tail)
    for office, media_type in OFFICE:
        if office.content_type.search(types) or (place is not None and office.member.search(tail, *place)):
            return media_type
    return None


def start_of_text(head: bytes, tail: bytes) -> str | None:
    """Return the first characters of a text; None for bytes that are no text."""
    encoding = marked_encoding(head)
    if encoding is None:
        encoding = "utf-8-sig" if is_utf8(head) and b"\x00" not in head else unmarked_wide_encoding(head)
    if encoding is None or encoding == "utf-8-sig":
        if b"\x00" in head or b"\x00" in tail:
            return None
        encoding = encoding or "cp1252"
    if encoding == "cp1252" and (CONTROLS.search(head) or CONTROLS.search(tail)):
        return None
    try:
        return codecs.getincrementaldecoder(encoding)("ignore" if encoding == "cp1252" else "strict").decode(head)
    except UnicodeDecodeError:
        return None


def is_utf8(head: bytes) -> bool:
    """Return whether bytes are UTF-8; the end may cut a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def text_media_type(text: str, name: str) -> str | None:
    """Return the media type of a text that begins with `text`; None for RTF, PostScript and SVG."""
    extension = name.rpartition(".")[2].lower()
    if text.startswith(NO_TEXT) or SVG_START.match(text):
        return None
    for matches, media_type in BY_TEXT:
        if matches(text, extension):
            return media_type
    return BY_EXTENSION.get(extension, PLAIN_TEXT.media_type)
