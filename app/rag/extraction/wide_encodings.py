"""Recognition of UTF-16 and UTF-32 by byte order marks, and of such texts without one by their characters."""

from __future__ import annotations

import codecs
import unicodedata
from collections import Counter

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
SAMPLE_BYTES = 1 << 16
NO_TEXT = frozenset({"Cc", "Cn", "Co", "Cs"})
"""Categories of characters that texts do not have: controls, unassigned, private use, surrogates."""
WHITE_SPACE = frozenset("\t\n\r\x0c ")
CJK_PUNCTUATION = frozenset("\u3001\u3002\u300c\u300d\u30fb\uff0c\uff1a\uff01\uff1f\uff08\uff09\u3000")
ORDINARY_SHARE = 0.8
"""Least share of characters of one script and of ASCII in a text."""


def marked_encoding(content: bytes) -> str | None:
    """Return the encoding that a byte order mark names; None without a mark."""
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS if content.startswith(mark)), None)


def unmarked_wide_encoding(content: bytes) -> str | None:
    """Return UTF-16 or UTF-32 with its byte order, if the beginning of a file without a mark is such a text."""
    sample = content[:SAMPLE_BYTES]
    if b"\x00" in sample:
        for encoding in ("utf-32-le", "utf-32-be"):
            text = decoded(sample, encoding)
            if text is not None and is_text(text):
                return encoding
    for encoding in ("utf-16-le", "utf-16-be"):
        text = decoded(sample, encoding)
        if text is not None and is_text(text) and has_one_script(text):
            return encoding
    return None


def decoded(sample: bytes, encoding: str) -> str | None:
    """Decode a sample, whose end may cut a character; None if it is not in this encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return None


def is_text(text: str) -> bool:
    """Return whether a text of two characters or more has none that texts do not have."""
    distinct = set(text) - WHITE_SPACE
    return len(text) > 1 and not any(unicodedata.category(each) in NO_TEXT for each in distinct)


def has_one_script(text: str) -> bool:
    """Return whether most of a text is ASCII and one block of 256 characters, or Chinese, Japanese or Korean.

    The bytes of any other text in pairs are characters of many blocks. Those of ASCII and Shift JIS are Chinese ones,
    but without punctuation.
    """
    blocks = Counter(ord(each) >> 8 for each in text)
    ascii_count = sum(each.isascii() for each in text)
    [(_, largest)] = Counter({block: count for block, count in blocks.items() if block}).most_common(1) or [(0, 0)]
    if ascii_count and (ascii_count + largest) / len(text) >= ORDINARY_SHARE:
        return True
    east_asian = sum(count for block, count in blocks.items() if block in {0x30, 0xFF} or 0x4E <= block <= 0xD7)
    punctuated = ascii_count or not CJK_PUNCTUATION.isdisjoint(text) or blocks[0x30] > len(text) // 4
    return bool(punctuated) and (east_asian + ascii_count) / len(text) >= ORDINARY_SHARE
