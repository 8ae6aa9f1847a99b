"""Brackets in documents that would be citation marks in a reply, such as a paper's own `[3]`."""

from __future__ import annotations

import regex

from app.domain.citation_contexts import LOOKAHEAD, is_index, is_operand, is_vector
from app.domain.citation_groups import GROUP, match_group
from app.domain.citations import CitationFilter, without_marks
from app.domain.reply_markup import TAIL_CHARACTERS

FENCED = r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"
SPAN = r"(?<!`)(?P<run>`+)[^`\n]+(?P=run)(?!`)"
CODE_OR_GROUP = regex.compile(rf"(?P<code>(?ms:{FENCED})|{SPAN})|{GROUP.pattern}", GROUP.flags)
HARMLESS = str.maketrans("`~<$", "'-\u2039\uff04")
PARENTHESES = str.maketrans("[]【】［］", "()()()")


def without_imitations(text: str) -> str:
    """Write the brackets of a document that would be marks in a reply as parentheses: `[3]` becomes `(3)`.

    A model that repeats them then cites nothing. Code stays: fences, spans, indices, vectors, and rows of numbers.
    """
    return CODE_OR_GROUP.sub(_in_parentheses, text) if "[" in text or "【" in text or "［" in text else text


def _in_parentheses(found: regex.Match[str]) -> str:
    bracket: str = found[0]
    if found["code"]:
        return bracket
    group = match_group(bracket, 0)
    before = found.string[max(0, found.start() - TAIL_CHARACTERS) : found.start()].rpartition("\n")[2]
    after = found.string[found.end() : found.end() + LOOKAHEAD].partition("\n")[0]
    if group is None or not group.numbers or is_operand(before) or (group.is_plain and is_index(before, after)):
        return bracket
    is_row = before.startswith(" ") and not before.strip() and after.strip() in ("", ",", "],")
    if group.is_list and (is_row or is_vector(before, after)):
        return bracket
    return bracket.translate(PARENTHESES)


def citable(text: str) -> str:
    """Return a quote or name behind which a mark is read as one: without marks, and without a beginning of code."""
    citation_filter = CitationFilter((), text)
    unmarked = citation_filter.feed(text) + citation_filter.flush()
    return without_marks(text.translate(HARMLESS)) if citation_filter.markup.is_open else unmarked
