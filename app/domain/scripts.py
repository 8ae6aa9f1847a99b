"""The script of a text: that of most of its letters, as Unicode names it."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter

SAMPLE_CHARACTERS = 2_000
"""Characters of a text that are counted, from its beginning."""
QUALIFIERS = frozenset({"FULLWIDTH", "HALFWIDTH", "MODIFIER", "MATHEMATICAL", "OLD"})
"""First words of characters' names that are no script."""
ONE_SYSTEM = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}
"""Scripts that one text mixes, under the name of one of them: Japanese has most of its words in Han characters."""


def script_of(text: str) -> str | None:
    """Return the script of most letters, such as `LATIN`, `CYRILLIC`, `CJK` or `HANGUL`; None without any letter."""
    sample = text[:SAMPLE_CHARACTERS]
    if sample.isascii():
        return "LATIN" if any(map(str.isalpha, sample)) else None
    counts: Counter[str] = Counter()
    for character, count in Counter(sample).items():
        if (script := letter_script(character)) is not None:
            counts[script] += count
    return max(counts, key=lambda each: counts[each]) if counts else None


@functools.lru_cache(maxsize=2**12)
def letter_script(character: str) -> str | None:
    """Return the script of a letter; None for any other character."""
    if not character.isalpha():
        return None
    for word in unicodedata.name(unicodedata.normalize("NFKC", character)[0], "").split():
        if word not in QUALIFIERS:
            return ONE_SYSTEM.get(word, word)
    return None
