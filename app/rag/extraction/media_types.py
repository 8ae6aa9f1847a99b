"""What kind of document some bytes are: the bytes say so, a name only tells texts apart."""

from __future__ import annotations

import codecs
import re
from importlib.util import find_spec

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
HTML = "text/html"
MARKDOWN = "text/markdown"
CSV = "text/csv"
PLAIN = "text/plain"
MEDIA_TYPES = (PLAIN, MARKDOWN, HTML, CSV, PDF, DOCX, PPTX)
"""Everything that a document may be found to be."""

WINDOW = 65536
"""Bytes at the beginning and at the end of a file by which its kind is told."""

TEXT_ENDINGS = {"md": MARKDOWN, "markdown": MARKDOWN, "csv": CSV, "tsv": CSV}
HTML_ENDINGS = {"html", "htm", "xhtml"}
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

BEFORE = r"(?>(?><\?xml[^>]*>)|(?><!--.*?-->)|\s+)*+"
HTML_START = re.compile(BEFORE + r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
SVG_START = re.compile(BEFORE + r"(?:<!doctype\s+svg|<svg)\b", re.IGNORECASE | re.DOTALL)
NO_TEXT = ("{\\rtf", "%!PS")
CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")

END_OF_ZIP = b"PK\x05\x06"
MEMBER = re.compile(rb"PK\x01\x02.{42}(word|ppt)/[^/]*\.xml", re.DOTALL)


def media_type_of(head: bytes, tail: bytes, name: str) -> str | None:
    """The media type of a file by its first and last `WINDOW` bytes; None for one that is not read here."""
    if is_pdf(head, tail):
        return PDF
    if head.startswith(b"PK\x03\x04"):
        return office_type(tail)
    text = start_of_text(head, tail)
    return None if text is None else text_type(text, name)


def is_pdf(head: bytes, tail: bytes) -> bool:
    """Whether it is a PDF; up to 1,024 bytes may stand before its first line (ISO 32000-1, annex H)."""
    place = head[:1024].find(b"%PDF-")
    return place == 0 or (place > 0 and (not head[:place].strip() or b"startxref" in tail[-2048:]))


def office_type(tail: bytes) -> str | None:
    """What a ZIP archive's own directory, at its end, says that it is; archives within it do not count.

    Presentations are read where the extra `pptx` is installed.
    """
    end = tail.rfind(END_OF_ZIP)
    if end < 0:
        return None
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    member = MEMBER.search(tail, max(0, end - size), end)
    if member is None:
        return None
    if member[1] == b"word":
        return DOCX
    return PPTX if find_spec("pptx") is not None else None


def start_of_text(head: bytes, tail: bytes) -> str | None:
    """The first characters, if these are the bytes of a text."""
    if head.startswith(UTF16):
        encoding = "utf-16"
    elif b"\x00" in head or b"\x00" in tail:
        return None
    else:
        encoding = "utf-8-sig" if is_utf8(head) else "cp1252"
    if encoding == "cp1252" and (CONTROLS.search(head) or CONTROLS.search(tail)):
        return None
    try:
        return codecs.getincrementaldecoder(encoding)("ignore" if encoding == "cp1252" else "strict").decode(head)
    except UnicodeDecodeError:
        return None


def is_utf8(head: bytes) -> bool:
    """Whether it is UTF-8, a character that the end cuts aside."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def text_type(text: str, name: str) -> str | None:
    """What kind of text begins so."""
    ending = name.rpartition(".")[2].lower()
    if text.startswith(NO_TEXT) or SVG_START.match(text):
        return None
    if HTML_START.match(text) or (ending in HTML_ENDINGS and "<" in text):
        return HTML
    return TEXT_ENDINGS.get(ending, PLAIN)
