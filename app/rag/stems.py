"""English words without their endings: Porter, "An algorithm for suffix stripping", Program 14 (1980) 130-137."""

from __future__ import annotations

import functools
import re

CONSONANT = "(?:[^aeiouy]|(?<![^aeiou])y)"  # y after a vowel, or first, is a consonant
VOWEL = "(?:[aeiou]|(?<=[^aeiou])y)"
MEASURE = re.compile(f"{VOWEL}+{CONSONANT}+")
HAS_VOWEL = re.compile(VOWEL)
DOUBLE = re.compile(r"([^aeiouylsz])\1$")
SHORT = re.compile(f"{CONSONANT}{VOWEL}(?![wxy]){CONSONANT}$")

STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "abli": "able", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
}  # fmt: skip
STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
STEP_4_ENDINGS = "al ance ence er ic able ible ant ement ment ent sion tion ou ism ate iti ous ive ize"
STEP_4 = dict.fromkeys(STEP_4_ENDINGS.split(), "")


@functools.lru_cache(maxsize=2**14)
def stem(word: str) -> str:
    """The word's stem; words in lower case, of at most two letters or with others than a to z stay as they are."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return word
    word = without_plural(word)
    word = without_tense(word)
    if word.endswith("y") and HAS_VOWEL.search(word, 0, len(word) - 1):
        word = word[:-1] + "i"
    word = shortened(word, STEP_2, 0)
    word = shortened(word, STEP_3, 0)
    word = shortened(word, STEP_4, 1)
    return tidied(word)


def measure(word: str) -> int:
    """How many times vowels are followed by consonants."""
    return len(MEASURE.findall(word))


def without_plural(word: str) -> str:
    """Step 1a: caresses, ponies, cats."""
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def without_tense(word: str) -> str:
    """Step 1b: agreed, plastered, motoring."""
    if word.endswith("eed"):
        return word[:-1] if measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        rest = word.removesuffix(ending)
        if rest != word and HAS_VOWEL.search(rest):
            return with_ending_restored(rest)
    return word


def with_ending_restored(word: str) -> str:
    """What a verb is without its tense: conflat(e), hop(p), fil(e)."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if DOUBLE.search(word):
        return word[:-1]
    return word + "e" if measure(word) == 1 and SHORT.search(word) else word


def shortened(word: str, endings: dict[str, str], more_than: int) -> str:
    """The word with its longest ending that is listed replaced, where enough is left before it."""
    for size in range(min(7, len(word) - 1), 1, -1):
        if (ending := word[-size:]) in endings:
            kept = 1 if ending in {"sion", "tion"} else 0  # their s or t belongs to what is left
            kept = kept if endings is STEP_4 else 0
            rest = word[: len(word) - size + kept]
            return rest + endings[ending] if measure(rest) > more_than else word
    return word


def tidied(word: str) -> str:
    """Step 5: probate, controll."""
    if word.endswith("e"):
        rest = word[:-1]
        count = measure(rest)
        if count > 1 or (count == 1 and not SHORT.search(rest)):
            word = rest
    return word[:-1] if word.endswith("ll") and measure(word) > 1 else word
