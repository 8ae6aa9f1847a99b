"""Distinction of a citation mark from an array index, a vector or a LaTeX argument, by the text around it."""

from __future__ import annotations

import re

from app.domain.citation_words import (
    CODE_WORDS,
    FILE_ENDINGS,
    NAMED_BY_A_LETTER,
    NAMED_VECTORS,
    NAMES_WITH_DIGITS,
    SENTENCE_STARTS,
    VECTOR_NOUNS,
    VECTOR_NOUNS_ATTACHED,
    any_of,
)

INDEXED = re.compile(
    r"(?<![\w'’\-/°%€µ℃.$])(?P<word>\$?[A-Za-z_][A-Za-z0-9_$]*(?:(?:\.|->|::)[A-Za-z_][A-Za-z0-9_]*)*)"
    r"(?P<suffix>(?:\([^()\s]*\)|\[[^\[\]\s]*\])*)$"
)
"""An identifier or word at the end of a text, with the calls and indices behind it."""
GREEK_LETTER = re.compile(r"(?<!\w)[\u0391-\u03a9\u03b1-\u03c9]$")
LATEX = re.compile(r"(?:\\[A-Za-z]+\*?(?:\{[^{}]*\})*|[\\}])$")
MIXED_WITH_DIGITS = re.compile(r"[a-z][a-z]*\d[a-z0-9]*")
CAMEL_CASE = re.compile(r"[a-z]{2,}[a-z0-9]*[A-Z][a-z]\w*")
CAMEL_CASE_NAMES = frozenset({"arXiv", "bioRxiv", "medRxiv", "deepMind", "openAI"})

OPERATOR_AHEAD = re.compile(r"[ ]?(?:[=+×·≈≠≤≥∈]|\+=)|[ ]\*[ ]|\+\+|[\^²³ᵀ]|\.[a-z_]")
LOOKAHEAD = 3
"""Characters behind a bracket that its meaning can depend on."""
ASSIGNMENT = re.compile(r"[\w\])}'\"][ ]?[:+*/-]?==?[ ]?$")
OPERATOR_BEFORE = re.compile(r"[\w\])}][ ]?(?:[×·∈∉⊂⊆≈≠≤≥±∪∩⊗])[ ]?$|[\w\])}](?:[+*]|[ ][+*<>][ ])$")
ARGUMENT = re.compile(r"[A-Za-z0-9_]\((?:[^()]*,)?[ ]?$")
KEY = re.compile(r"(?:[\"']|(?<![\w.])(?P<word>[A-Za-z_]\w*)):[ ]?$")
LOWER_CASE_LETTER = re.compile(r"(?<![\w'’.\-/°%])(?<!\d )[bcdfghjlmnpqrtvx] $")
VECTOR_NOUN = re.compile(
    rf"\b(?:{any_of(VECTOR_NOUNS)})[ ](?:[A-Za-z][ ])?$|\b(?:{any_of(NAMED_VECTORS)})[ ][A-Za-z][ ]$"
    rf"|(?:{any_of(VECTOR_NOUNS_ATTACHED)})[ ]?$",
    re.IGNORECASE,
)
RETURNED = re.compile(r"^[ \t]*(?:return|print|yield|await|const|let|var)[ ]$|[A-Za-z0-9_]\($")


def is_index(before: str, after: str) -> bool:
    """Return whether a bracket directly behind a text is an index or an argument rather than a citation.

    Args:
        before: The end of the line up to the bracket.
        after: The next characters, `LOOKAHEAD` of them where the line has as many.
    """
    if not before or before[-1].isspace():
        return False
    if LATEX.search(before) or GREEK_LETTER.search(before):
        return True
    found = INDEXED.search(before)
    if found is None:
        return False
    word, suffix, context = found["word"], found["suffix"], before[: found.start()]
    if "(" in suffix or is_identifier(word, context):
        return True
    has_variable = any(not each.isdigit() for each in re.findall(r"\[(.*?)\]", suffix))
    is_used = has_variable or OPERATOR_AHEAD.match(after) or ASSIGNMENT.search(context) or RETURNED.search(context)
    return word.islower() and bool(is_used)


def is_identifier(word: str, before: str = "") -> bool:
    """Return whether a word is a name in code or mathematics rather than a word of a sentence."""
    segments = re.split(r"\.|->|::", word)
    if len(segments) > 1 and segments[-1].lower() in FILE_ENDINGS:
        return False
    if not word.strip("_"):  # emphasis
        return False
    if word in CODE_WORDS or "_" in word or "$" in word:
        return True
    if len(segments) > 1:
        return all(each[:1].islower() for each in segments)
    if len(word) == 1:
        return not names_by_letter(word, before)
    is_mixed = CAMEL_CASE.fullmatch(word) or MIXED_WITH_DIGITS.fullmatch(word)
    return is_mixed is not None and word not in CAMEL_CASE_NAMES and word not in NAMES_WITH_DIGITS


def names_by_letter(letter: str, before: str) -> bool:
    """Return whether a letter ends a name or quantity, such as "vitamin C", "Henry V" or "5 m"."""
    if re.search(r"\d[ ]$", before):
        return True
    words = before.split()
    if not words or not before.endswith(" "):
        return False
    last = words[-1]
    if last.lower() in NAMED_BY_A_LETTER:
        return True
    return letter.isupper() and last[:1].isupper() and last[1:].islower() and last not in SENTENCE_STARTS


def is_operand(before: str) -> bool:
    """Return whether a bracket is a value that a name is set to, as in `x = [1]`."""
    return ASSIGNMENT.search(before) is not None


def is_vector(before: str, after: str) -> bool:
    """Return whether a bracket with several numbers stands at an operator, a name or a call, as in `f([3, 4])`."""
    key = KEY.search(before)
    is_value = key is not None and (key["word"] is None or is_identifier(key["word"]))
    patterns = (OPERATOR_BEFORE, ARGUMENT, LOWER_CASE_LETTER, VECTOR_NOUN)
    return is_value or any(each.search(before) for each in patterns) or OPERATOR_AHEAD.match(after) is not None
