"""Text of printed pages that is none: glyph names, private characters, letters of a font without a table of its own.

A PDF may draw glyphs without saying which characters they are. What a library makes of them is worse than no text. All
thresholds leave room for formulas, tables, code and any natural language: see `tests/unit/rag/test_plausibility.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from app.rag.extraction.page_line import Line

GLYPH_NAMES = re.compile(r"(?:(?:/[A-Za-z]{1,8}\d{1,5}|\(cid:\d{1,5}\))\s?){3,}")
PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]+")
UNREADABLE = frozenset({"Cc", "Cn", "Co", "Cs"})
"""Categories of characters that are no text: control, unassigned, private, surrogates."""
UNREADABLE_OF_LINE = 0.5
"""Share of such characters above which a line is left out."""
LEFT_OUT_OF_PAGE = 0.8
"""Share of left out lines, by characters, above which the page has no text."""
CONTROLS = 0.08
"""Share of control characters above which the others are no text either: they stand for blanks and letters."""
ENOUGH_LETTERS = 40
"""Letters of a page without which its letters are not judged."""
LATIN_LETTERS, LATIN_WORDS = 100, 20
FREQUENT = frozenset("eaionrstl")
"""Letters that are 60 % and more of the text of any language with Latin letters."""
FREQUENT_SHARE = 0.4
VOWELS = frozenset("aeiouyæœøıł")
WITHOUT_VOWELS = 0.3
"""Share of words without a vowel, less than 5 % in a text."""
WORD = re.compile(r"\b[^\W\d_]{3,}\b")
"""A word without digits, unlike those of keys and hashes."""
WESTERN_SHARE = 0.4
"""Share of the letters from À to ÿ, at most 20 % in a text: that of other alphabets read as Windows-1252."""
SWITCHES = 0.25
"""Changes of the script within words, for each letter."""
RARE_HAN = 0.3
"""Share of Chinese letters from the extension A, which are hardly used."""
SYMBOL_SHARE, SYMBOL_KINDS, SYMBOLS = 0.8, 10, 60
"""Share, kinds and number of punctuation marks of what is no text, repetitions aside."""
EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "HALFWIDTH", "FULLWIDTH"})
WITH_ANY = frozenset(
    {"GREEK", "MATHEMATICAL", "MODIFIER", "MICRO", "DOUBLE-STRUCK", "SCRIPT", "BLACK-LETTER", "ANGSTROM"}
)
"""Scripts of letters that stand within words of another, as in formulas and units."""


def readable_lines(lines: Sequence[Line]) -> list[Line]:
    """Return a page's lines without those that cannot be read; none if that is most of the page, or all is no text.

    Private characters, such as the bullets of icon fonts, are taken out of the lines that stay.
    """
    kept = [line for line in lines if unreadable_share(line.text) <= UNREADABLE_OF_LINE]
    whole, left = (sum(len(line.text) for line in each) for each in (lines, kept))
    if whole and 1 - left / whole > LEFT_OUT_OF_PAGE:
        return []
    if is_garbled("\n".join(line.text for line in kept)):
        return []
    cleaned = (replace(line, text=" ".join(PRIVATE.sub(" ", line.text).split())) for line in kept)
    return [line for line in cleaned if line.text]


def unreadable_share(text: str) -> float:
    """Return the share of a line's characters that are glyph names or no characters of text."""
    names = sum(len(each[0]) for each in GLYPH_NAMES.finditer(text))
    others = sum(1 for each in text if each == "\ufffd" or unicodedata.category(each) in UNREADABLE)
    return (names + others) / len(text) if text else 0.0


def is_garbled(text: str) -> bool:
    """Return whether a page's text is that of a font whose characters are unknown, or of another encoding."""
    controls = sum(1 for each in text if each != "\n" and unicodedata.category(each) == "Cc")
    if controls > CONTROLS * max(len(text), ENOUGH_LETTERS // 2):
        return True
    if text.isascii():
        return is_enciphered(text) or is_punctuation(text)
    letters = [each for each in text if each.isalpha()]
    if len(letters) >= ENOUGH_LETTERS:
        western = sum("\xc0" <= each <= "\xff" for each in letters)
        rare = sum("\u3400" <= each <= "\u4dbf" for each in letters)
        if western > WESTERN_SHARE * len(letters) or rare > RARE_HAN * len(letters):
            return True
        if script_switches(text) > SWITCHES * len(letters):
            return True
    return is_enciphered(text) or is_punctuation(text)


def is_enciphered(text: str) -> bool:
    """Return whether Latin letters stand for others: neither are the usual ones frequent, nor do words have vowels."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    words = [word for word in WORD.findall(plain) if "a" <= word[0] <= "z"]
    letters = [each for word in words for each in word if "a" <= each <= "z"]
    if len(letters) < LATIN_LETTERS or sum(each in FREQUENT for each in letters) >= FREQUENT_SHARE * len(letters):
        return False
    return len(words) >= LATIN_WORDS and sum(VOWELS.isdisjoint(each) for each in words) > WITHOUT_VOWELS * len(words)


def is_punctuation(text: str) -> bool:
    """Return whether a page is hardly anything but many kinds of punctuation marks."""
    marks = [each for before, each in pairwise(f"\n{text}") if each != before and unicodedata.category(each)[0] == "P"]
    words = sum(unicodedata.category(each)[0] in "LMN" for each in text)
    return (
        len(marks) >= SYMBOLS and len(set(marks)) >= SYMBOL_KINDS and len(marks) > SYMBOL_SHARE * (len(marks) + words)
    )


def script_switches(text: str) -> int:
    """Return how often the script changes within words, where texts do not mix the two."""
    return sum(
        1
        for before, after in pairwise(map(script_of, text))
        if before and after and before != after and {before, after} != {"LATIN", "CJK"}
    )


def script_of(character: str) -> str:
    """Return the script of a letter; empty for other characters, and letters that are used in any script."""
    if character.isascii():
        return "LATIN" if character.isalpha() else ""
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").partition(" ")[0]
    return "CJK" if name in EAST_ASIAN else "" if name in WITH_ANY else name
