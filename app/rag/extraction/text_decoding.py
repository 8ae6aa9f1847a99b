from __future__ import annotations

import codecs
import re

from app.rag.extraction.blocks import leading_words, normalize_text
from app.rag.extraction.errors import TOO_MUCH_TEXT, ExtractionError
from app.rag.extraction.limits import Limits

BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DECLARATION = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w-]{2,40})|encoding\s*=\s*["']([\w-]{2,40})""", re.IGNORECASE
)
DECLARATION_BYTES = 2048

CHARACTER_SET = re.compile(r"iso-?8859|latin|windows-|cp\d|koi8|mac|gb|big5|euc|shift|iso-2022|tis", re.IGNORECASE)
"""Beginnings of the names of character sets; Python's codecs include others, such as `rot13` and `zip`."""


def decode_text(content: bytes, limits: Limits, *, declared: bool = False) -> str:
    """Decode a file and normalise its characters.

    Encodings are tried in this order: the byte order mark's, UTF-8, the one that the file declares in its first 2 KB
    (if `declared`), Windows-1252.

    Raises:
        ExtractionError: the text is longer than the limit.
    """
    text = decoded(content, declared=declared)
    if len(text) > limits.characters:
        raise ExtractionError(TOO_MUCH_TEXT)
    return normalize_text(text)


def within_limit(content: bytes, limits: Limits, *, declared: bool = False) -> bytes:
    """Return a file's text up to the limit of characters, as UTF-8 with a byte order mark; all of it if it is within.

    Args:
        content: The file.
        limits: The limits.
        declared: As of `decode_text`.
    """
    if len(content) <= limits.characters or len(text := decoded(content, declared=declared)) <= limits.characters:
        return content
    return leading_words(text, limits.characters).encode("utf-8-sig", "replace")


def decoded(content: bytes, *, declared: bool) -> str:
    for encoding in candidate_encodings(content, declared=declared):
        try:
            return content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return content.decode("cp1252", "replace")


def candidate_encodings(content: bytes, *, declared: bool) -> list[str]:
    """Return the encodings to try, the likeliest first."""
    marked = [encoding for mark, encoding in BYTE_ORDER_MARKS.items() if content.startswith(mark)]
    declaration = DECLARATION.search(content[:DECLARATION_BYTES]) if declared else None
    name = (declaration[1] or declaration[2]).decode("ascii") if declaration else ""
    return [*marked, "utf-8", *([name] if CHARACTER_SET.match(name) else [])]
