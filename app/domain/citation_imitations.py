"""Brackets in documents that would be citation marks in a reply, such as a paper's own `[3]`."""

from __future__ import annotations

import regex

from app.domain.citation_contexts import LOOKAHEAD, is_index, is_operand, is_vector
from app.domain.citation_groups import OPENINGS, group_pattern, match_group
from app.domain.citations import CitationFilter, without_marks
from app.domain.reply_markup import TAIL_CHARACTERS

FENCED = r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"
SPAN = r"(?<!`)(?P<run>`+)[^`\n]+(?P=run)(?!`)"
CODE_OR_OPENING = regex.compile(rf"(?P<code>(?ms:{FENCED})|{SPAN})|[{regex.escape(OPENINGS)}]", regex.VERSION1)
HARMLESS = str.maketrans("`~<$", "'-\u2039\uff04")
PARENTHESES = str.maketrans("[]【】［］", "()()()")


def without_imitations(text: str) -> str:
    """Write the brackets of a document that would be marks in a reply as parentheses: `[3]` becomes `(3)`.

    A model that repeats them then cites nothing. Code stays: fences, spans, indices, vectors, and rows of numbers.
    """
    if not any(each in text for each in OPENINGS):
        return text
    parts: list[str] = []
    end = 0
    while found := CODE_OR_OPENING.search(text, end):
        bracket = None if found["code"] else group_pattern().match(text, found.start())
        parts.append(text[end : found.start()])
        parts.append(found[0] if bracket is None else _in_parentheses(bracket))
        end = found.end() if bracket is None else bracket.end()
    return "".join((*parts, text[end:]))


def _in_parentheses(found: regex.Match[str]) -> str:
    bracket: str = found[0]
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
