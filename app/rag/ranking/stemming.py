"""Stems of words by the Snowball stemmers (snowballstem.org), with accents folded."""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from typing import Any

LATIN = {
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "sv": "swedish",
    "tr": "turkish",
}
CYRILLIC = {"": "russian", "sr": "serbian"}
ARABIC = {"": "arabic", "fa": "persian", "ur": None}
DEVANAGARI = {"": "hindi", "ne": "nepali"}
SCRIPTS: tuple[tuple[str, dict[str, str | None]], ...] = (
    ("\u00c0-\u024f\u1e00-\u1effa-z", {"": "porter", **LATIN}),
    ("\u0400-\u052f", {**CYRILLIC}),
    ("\u0620-\u06ff\u0750-\u077f", {**ARABIC}),
    ("\u0900-\u097f", {**DEVANAGARI}),
    ("\u0370-\u03ff\u1f00-\u1fff", {"": "greek"}),
    ("\u0531-\u0587", {"": "armenian"}),
    ("\u0b80-\u0bff", {"": "tamil"}),
)
"""Letters of each script, and the stemmers of its languages; that of "" is for words in a document of another language.

None is for words that are left as they are. The words of most documents in Latin letters whose language has no stemmer
are English ones.
"""
SCRIPT = re.compile("|".join(f"([{letters}])" for letters, _ in SCRIPTS))
STEMMED_LANGUAGES = frozenset(language for _, stemmers in SCRIPTS for language in stemmers if language)
"""Languages with a stemmer that is not their script's own; all others are analysed alike."""
COMPOUNDING = frozenset({"da", "de", "fi", "hu", "nl", "no", "sv"})
"""Languages that write compounds as one word: "Hausratversicherung" has to be found by "Versicherung".

Their long words have parts as well: overlapping runs of characters, which find as much as a splitter with a dictionary
(McNamee and Mayfield, 2004).
"""
PART_LETTERS = 5
ACCENTS = re.compile("[\u0300-\u036f]")
MIN_LETTERS = 3
"""Letters of a word that has an ending."""


def folded(text: str) -> str:
    """Return the text in lower case, without accents, in the normal form NFKC."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", ACCENTS.sub("", unicodedata.normalize("NFKD", text))).casefold()


@functools.lru_cache(maxsize=2**15)
def stems_of(word: str, language: str | None) -> tuple[str, ...]:
    """Return the stems that a word is found by in a document of a language.

    A word with accents has two where these differ: that of the word as it is written, whose ending may have an accent,
    and that of the word without accents, as many people type it. The latter is the first.

    Args:
        word: A word in lower case, in the normal form NFKC, with its accents.
        language: ISO 639-1; None if it is unknown.
    """
    stemmer, plain = stemmer_of(word, language), folded(word)
    if not plain:  # a mark alone
        return ()
    if stemmer is None or len(plain) < MIN_LETTERS or any(each.isdigit() for each in word):
        return (plain,)
    if stemmer == "porter":
        return (porter(plain),)
    unaccented = word.replace("ё", "е") if stemmer in CYRILLIC.values() else plain
    return tuple(dict.fromkeys(folded(snowball(stemmer).stemWord(each)) for each in (unaccented, word)))


def parts_of(word: str, language: str | None) -> tuple[str, ...]:
    """Return the parts of a word that may be a compound in a language: its runs of `PART_LETTERS`; none of others."""
    plain = folded(word) if language in COMPOUNDING and stemmer_of(word, language) in LATIN.values() else ""
    if len(plain) <= PART_LETTERS or not plain.isalpha():
        return ()
    return tuple(plain[start : start + PART_LETTERS] for start in range(len(plain) - PART_LETTERS + 1))


def stemmer_of(word: str, language: str | None) -> str | None:
    """Return the stemmer for a word, by the script of its first letter and the language of its document."""
    found = SCRIPT.search(word)
    if found is None or found.lastindex is None:
        return None
    stemmers = SCRIPTS[found.lastindex - 1][1]
    return stemmers[language] if language in stemmers else stemmers[""]


@functools.lru_cache(maxsize=2**14)
def porter(word: str) -> str:
    """Return an English word without its ending (Porter, 1980); short words and those not of a to z are unchanged."""
    long = len(word) >= MIN_LETTERS and word.isascii() and word.isalpha()
    return str(snowball("porter").stemWord(word)) if long else word


class Stemmers(threading.local):
    """The stemmers of a thread: each keeps the word that it works on."""

    def __init__(self) -> None:
        self.by_name: dict[str, Any] = {}


STEMMERS = Stemmers()


def snowball(name: str) -> Any:
    """Return this thread's stemmer of a name."""
    import snowballstemmer

    if name not in STEMMERS.by_name:
        STEMMERS.by_name[name] = snowballstemmer.stemmer(name)
    return STEMMERS.by_name[name]
