"""Recognise questions about documents as a whole, which no single passage answers.

The rules cover a whole message, in the languages of `app.domain.outline_phrases`: a word such as "summary" or "files"
somewhere in a question says nothing about what is wanted.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from app.domain.outline_phrases import COURTESIES, LANGUAGES

MAX_CHARACTERS = 200
"""A longer message is no plain request for an outline."""

MARKS = re.compile(r"[\u0300-\u036f\u064b-\u065f\u0670\u093c]")
"""Accents, Arabic vowel signs and the Devanagari nukta, which are often left out."""
QUOTATION_MARKS = re.compile(r"[\"\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f\u300a\u300b`*]")
EDGES = " \t\n.,:;!?\u2026\u00a1\u00bf\u3002\u3001\u060c\u061f\u0964-"
SEPARATORS = re.compile(r"[\W_]+")
DETERMINER = re.compile(r"^(?:the|this|that|my|our|das|den|die|der|le|la|les|el|los|il|lo|o|a|het|de) ")
UNSPACED = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
"""Scripts without spaces between words."""
EXTENSION = re.compile(r"\.[a-z][a-z0-9]{1,4}$")


def outline_subject(question: str) -> str | None:
    """Return what a question wants the outline of.

    Returns:
        An empty string for the documents as a whole ("what is this about?"), the text in the place of a document's
        name ("summarise lease.pdf"), which may be anything, or None for every other question.
    """
    if len(question) > MAX_CHARACTERS:
        return None
    text = without_courtesies(fold(question))
    if any(each.fullmatch(text) for each in whole_patterns()):
        return ""
    found = (each.fullmatch(text) for each in name_patterns())
    return next((name for each in found if each and (name := (each["name"] or "").strip(EDGES))), None)


def names_document(subject: str, document_name: str) -> bool:
    """Return whether a subject is a document's name, with or without its extension and "the"."""
    wanted = {words(subject), words(DETERMINER.sub("", fold(subject)))}
    name = fold(document_name)
    return not wanted.isdisjoint({words(name), words(EXTENSION.sub("", name))} - {""})


def words(text: str) -> str:
    """Return the letters and digits of a text, with one blank between words."""
    return " ".join(SEPARATORS.split(text)).strip()


def fold(text: str) -> str:
    """Return a text on one line in lower case, without accents, quotation marks and punctuation at its ends."""
    decomposed = MARKS.sub("", unicodedata.normalize("NFKD", text.replace("\u2019", "'")))
    folded = unicodedata.normalize("NFKC", decomposed).casefold()
    return " ".join(QUOTATION_MARKS.sub("", folded).split()).strip(EDGES)


def without_courtesies(text: str) -> str:
    """Remove "please", "can you" and the like from both ends."""
    before = None
    while text != before:
        before, text = text, courtesies().sub("", text).strip(EDGES)
    return text


@functools.cache
def courtesies() -> re.Pattern[str]:
    phrases = [re.escape(fold(each)) for each in sorted(COURTESIES.split("|"), key=len, reverse=True)]
    spaced = "|".join(each for each in phrases if not UNSPACED.search(each))
    unspaced = "|".join(each for each in phrases if UNSPACED.search(each))
    return re.compile(rf"^(?:(?:{spaced})(?!\w)|{unspaced})|(?:(?<!\w)(?:{spaced})|{unspaced})$")


@functools.cache
def whole_patterns() -> tuple[re.Pattern[str], ...]:
    """Return the patterns of questions about documents as a whole."""
    return tuple(
        re.compile(fold_pattern(template.format(it=f"(?:{language.documents})")))
        for language in LANGUAGES
        for template in language.templates
    )


@functools.cache
def name_patterns() -> tuple[re.Pattern[str], ...]:
    """Return the patterns of the same questions with a name in the place of the documents."""
    return tuple(
        re.compile(fold_pattern(template.format(it="(?P<name>.{1,120}?)")))
        for language in LANGUAGES
        for template in language.templates
        if template.count("{it}") == 1
    )


def fold_pattern(pattern: str) -> str:
    """Fold a regular expression as `fold` does a text; it has no escapes that differ in case."""
    decomposed = MARKS.sub("", unicodedata.normalize("NFKD", pattern))
    return unicodedata.normalize("NFKC", decomposed)
