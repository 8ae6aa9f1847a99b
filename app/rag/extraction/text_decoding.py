from __future__ import annotations

import codecs
import re

from app.rag.extraction.blocks import clean
from app.rag.extraction.errors import TOO_MUCH_TEXT, ExtractionError
from app.rag.extraction.limits import Limits

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w-]{2,40})|encoding\s*=\s*["']([\w-]{2,40})""", re.IGNORECASE
)

CHARACTER_SET = re.compile(r"iso-?8859|latin|windows-|cp\d|koi8|mac|gb|big5|euc|shift|iso-2022|tis", re.IGNORECASE)
"""Beginnings of the names of character sets; Python knows encodings of other kinds too."""


def decoded(content: bytes, limits: Limits, *, declared: bool = False) -> str:
    """A file's text, cleaned: by its mark, as UTF-8, by what it declares in its first 2 KB, as Windows-1252.

    Raises:
        Unreadable: it is longer than the limit.
    """
    for encoding in encodings_of(content, declared=declared):
        try:
            text = content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        break
    else:
        text = content.decode("cp1252", "replace")
    if len(text) > limits.characters:
        raise ExtractionError(TOO_MUCH_TEXT)
    return clean(text)


def encodings_of(content: bytes, *, declared: bool) -> list[str]:
    """The encodings to try, the likeliest first."""
    marked = [encoding for mark, encoding in MARKS.items() if content.startswith(mark)]
    found = DECLARED.search(content[:2048]) if declared else None
    named = (found[1] or found[2]).decode("ascii") if found else ""
    return [*marked, "utf-8", *([named] if CHARACTER_SET.match(named) else [])]
