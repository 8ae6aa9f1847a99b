"""Plain text, which stays as it is: only its parts are told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from app.rag.extraction.blocks import Block, Kind, TextBlocks, title_of, unmarked
from app.rag.extraction.errors import TOO_MANY_ELEMENTS, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decoded

PARAGRAPH = re.compile(r"^(?:[^\S\n]*+\S[^\n]*+(?:\n|\Z))++", re.MULTILINE)
"""Lines that are not blank."""
MARKED = re.compile(r"\s{0,3}(#{1,6}\s|(?:=\s?){1,6}(?=[^=\n]{1,118}=))")
"""A heading as Markdown and wikis mark it."""
NUMBERED = re.compile(r"(?i:chapter|part|section|appendix|article)\s+[\dA-Z]{1,5}\b|\d{1,3}((?:\.\d{1,3})*)\.?\s+[A-Z]")
UNDERLINE = re.compile(r"(?:={3,}|-{3,}|~{3,})\s*$")
HEADING_CHARACTERS = 80
NUMBERED_BLANKS = 4
"""A line with one number and more blanks is an item of a list."""


def read_plain(content: bytes, limits: Limits) -> TextBlocks:
    """The draft of a text file; its text is the file's own."""
    text = decoded(content, limits)
    blocks = list(islice(blocks_in(text), limits.elements + 1))
    if len(blocks) > limits.elements:
        raise ExtractionError(TOO_MANY_ELEMENTS)
    first = blocks[0] if blocks and blocks[0].kind is Kind.HEADING else None
    return TextBlocks(text, blocks, title_of(unmarked(text[first.start : first.end])) if first is not None else None)


def blocks_in(text: str) -> Iterator[Block]:
    """The blocks of a text."""
    for found in PARAGRAPH.finditer(text):
        end = found.end() - text.endswith("\n", found.start(), found.end())
        yield from blocks_of(text, found.start(), end)


def blocks_of(text: str, start: int, end: int) -> Iterator[Block]:
    """The heading that a paragraph is, or the headings within it, marked as such, and the text between them."""
    level = level_of_form(text[start:end]) if end - start <= 2 * HEADING_CHARACTERS else 0
    if level:
        yield Block(Kind.HEADING, start, end, level)
        return
    begun = line = start
    while line < end:
        stop = text.find("\n", line, end)
        stop = end if stop < 0 else stop
        marked = MARKED.match(text[line : min(stop, line + 200)])
        if marked and (marked[1][0] == "#" or text[line:stop].rstrip().endswith("=")):
            if begun < line:
                yield Block(Kind.PARAGRAPH, begun, line - 1)
            yield Block(Kind.HEADING, line, stop, marked[1].count(marked[1][0]))
            begun = stop + 1
        line = stop + 1
    if begun < end:
        yield Block(Kind.PARAGRAPH, begun, end)


def level_of_form(paragraph: str) -> int:
    """The level of a heading that is one by its form alone, standing by itself; 0 for none."""
    first, _, second = paragraph.strip().partition("\n")
    if second:
        return (
            (1 if second.startswith("=") else 2) if UNDERLINE.match(second) and len(first) <= HEADING_CHARACTERS else 0
        )
    if len(first) > HEADING_CHARACTERS or first.endswith((".", ",", ";", ":", "!", "?")):
        return 0
    numbered = NUMBERED.match(first)
    if numbered and (numbered[1] or not numbered[0][0].isdigit() or first.count(" ") <= NUMBERED_BLANKS):
        return 1 + (numbered[1] or "").count(".")
    letters = sum(map(str.isalpha, first))
    return 1 if first.isupper() and letters >= 4 and letters * 2 > len(first) else 0
