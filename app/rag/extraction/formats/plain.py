"""Plain text: kept to the character, with headings recognised by their form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from app.rag.extraction.blocks import Block, BlockKind, TextBlocks, clean_title, heading_text
from app.rag.extraction.errors import TOO_MANY_ELEMENTS, ExtractionError
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decode_text

PARAGRAPH = re.compile(r"^(?:[^\S\n]*+\S[^\n]*+(?:\n|\Z))++", re.MULTILINE)
"""Consecutive lines that are not blank."""
MARKED_HEADING = re.compile(r"\s{0,3}(#{1,6}\s|(?:=\s?){1,6}(?=[^=\n]{1,118}=))")
"""A heading as Markdown and wikis mark it."""
NUMBERED = re.compile(r"(?i:chapter|part|section|appendix|article)\s+[\dA-Z]{1,5}\b|\d{1,3}((?:\.\d{1,3})*)\.?\s+[A-Z]")
UNDERLINE = re.compile(r"(?:={3,}|-{3,}|~{3,})\s*$")
HEADING_CHARACTERS = 80
NUMBERED_BLANKS = 4
"""A line with a single number and more blanks is a list item."""
MARKUP_CHARACTERS = 200
"""Of a line that `MARKED_HEADING` is matched against."""


def read_plain(content: bytes, limits: Limits, _report: ReportProgress, options: ReadOptions) -> TextBlocks:
    text = decode_text(content, limits, charset=options.charset)
    blocks = list(islice(blocks_of(text), limits.elements + 1))
    if len(blocks) > limits.elements:
        raise ExtractionError(TOO_MANY_ELEMENTS)
    first = blocks[0] if blocks and blocks[0].kind is BlockKind.HEADING else None
    title = clean_title(heading_text(text[first.start : first.end])) if first is not None else None
    return TextBlocks(text, blocks, title)


def blocks_of(text: str) -> Iterator[Block]:
    for found in PARAGRAPH.finditer(text):
        end = found.end() - text.endswith("\n", found.start(), found.end())
        yield from blocks_of_paragraph(text, found.start(), end)


def blocks_of_paragraph(text: str, start: int, end: int) -> Iterator[Block]:
    """Yield the one heading that a paragraph is, or its marked heading lines and the text between them."""
    level = level_by_form(text[start:end]) if end - start <= 2 * HEADING_CHARACTERS else 0
    if level:
        yield Block(BlockKind.HEADING, start, end, level)
        return
    begin = line = start
    while line < end:
        stop = text.find("\n", line, end)
        stop = end if stop < 0 else stop
        marked = MARKED_HEADING.match(text[line : min(stop, line + MARKUP_CHARACTERS)])
        if marked and (marked[1][0] == "#" or text[line:stop].rstrip().endswith("=")):
            if begin < line:
                yield Block(BlockKind.PARAGRAPH, begin, line - 1)
            yield Block(BlockKind.HEADING, line, stop, marked[1].count(marked[1][0]))
            begin = stop + 1
        line = stop + 1
    if begin < end:
        yield Block(BlockKind.PARAGRAPH, begin, end)


def level_by_form(paragraph: str) -> int:
    """Return the level of a paragraph that is a heading by its form: underlined, numbered or in capitals; else 0."""
    first, _, second = paragraph.strip().partition("\n")
    if second:
        underlined = UNDERLINE.match(second) and len(first) <= HEADING_CHARACTERS
        return (1 if second.startswith("=") else 2) if underlined else 0
    if len(first) > HEADING_CHARACTERS or first.endswith((".", ",", ";", ":", "!", "?")):
        return 0
    numbered = NUMBERED.match(first)
    if numbered and (numbered[1] or not numbered[0][0].isdigit() or first.count(" ") <= NUMBERED_BLANKS):
        return 1 + (numbered[1] or "").count(".")
    letters = sum(map(str.isalpha, first))
    return 1 if first.isupper() and letters >= 4 and letters * 2 > len(first) else 0


FORMAT = Format("text/plain", ("txt",), read_plain, libraries=("chardet",))
