"""Headings and paragraphs from the lines of printed pages, by letter size and line spacing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks
from app.rag.extraction.limits import Limits
from app.rag.extraction.page_edges import kept_lines
from app.rag.extraction.page_line import Line
from app.rag.tokenizer import tokenizer

HYPHENATED = re.compile(r"\b(\w++)(-|\xad)\n(?=([a-z\xdf-\xff]\w*))")
HEADING_SIZE_RATIO = 1.12
"""Smallest letter size of a heading, relative to that of the body text."""
HEADING_CHARACTERS = 150
HEADING_LEVELS = 4
PARAGRAPH_SPACING_RATIO = 1.25
"""Line spacing above which a new paragraph begins, relative to the usual spacing."""
USUAL_SPACING_SHARE = 0.2
"""Share of the text that must have a line spacing for it to be usual."""


def blocks_of_pages(pages: Sequence[Sequence[Line]], title: str | None, limits: Limits) -> TextBlocks:
    """Build text blocks from the lines of pages, without page numbers and repeated headers and footers."""
    pages = [[line for line in lines if line.text] for lines in pages]
    levels, spacing = heading_levels(pages), usual_spacing(pages)
    kept = kept_lines(pages, levels)
    has_own = any(each.own for each in kept)
    writer = BlockWriter(replace(limits, stop_at=None))  # the time is spent on reading the pages
    textless = []
    with writer.until_stopped():
        for number, (lines, (indices, own)) in enumerate(zip(pages, kept, strict=True), 1):
            writer.page = number
            for group in grouped([lines[index] for index in indices], levels, spacing):
                write_group(writer, group, levels)
            if not lines or (has_own and not own):
                textless.append(number)
    document = writer.build(title)
    document.page_count, document.textless_pages = len(pages), textless
    return document


def write_group(writer: BlockWriter, group: Sequence[Line], levels: dict[float, int]) -> None:
    """Append the lines of one heading or paragraph as a block."""
    text = join_hyphenated("\n".join(line.text for line in group))
    level = levels.get(group[0].size, 0) if len(text) <= HEADING_CHARACTERS else 0
    if level and any(map(str.isalpha, text)):
        writer.add(BlockKind.HEADING, text.replace("\n", " "), level=level)
    else:
        writer.add(BlockKind.PARAGRAPH, text)


def grouped(lines: Sequence[Line], levels: dict[float, int], spacing: float) -> Iterator[list[Line]]:
    """Yield the lines of each heading or paragraph."""
    group: list[Line] = []
    for line in lines:
        if group and starts_group(group[-1], line, levels, spacing):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def starts_group(above: Line, line: Line, levels: dict[float, int], spacing: float) -> bool:
    """Return whether a line starts a heading or paragraph; one higher than the last, as in a new column, does not."""
    if above.apart or line.apart or levels.get(above.size) != levels.get(line.size):
        return True
    return above.height - line.height > PARAGRAPH_SPACING_RATIO * spacing * max(above.size, line.size)


def heading_levels(pages: Sequence[Sequence[Line]]) -> dict[float, int]:
    """Return heading levels by letter size, 1 for the largest."""
    letters: Counter[float] = Counter()
    for line in (line for lines in pages for line in lines):
        letters[line.size] += len(line.text)
    body = letters.most_common(1)[0][0] if letters else 0
    sizes = sorted((size for size in letters if size > body * HEADING_SIZE_RATIO), reverse=True)
    return {size: min(level, HEADING_LEVELS) for level, size in enumerate(sizes, 1)}


def usual_spacing(pages: Sequence[Sequence[Line]]) -> float:
    """Return the smallest line spacing that is usual in the text, as a multiple of the letter size."""
    spacings: Counter[float] = Counter()
    for lines in pages:
        for above, line in pairwise(lines):
            if above.size == line.size > 0 and above.height > line.height:
                spacings[round((above.height - line.height) / line.size, 1)] += len(line.text)
    enough = USUAL_SPACING_SHARE * spacings.total()
    return max(1.0, min((each for each, count in spacings.items() if count >= enough), default=1.2))


def join_hyphenated(text: str) -> str:
    """Join words that are divided at line ends; compounds, as far as the vocabulary shows, keep their hyphen."""
    is_word = tokenizer().token_to_id

    def joined(found: re.Match[str]) -> str:
        first, hyphen, second = found[1], found[2], found[3]
        whole = is_word((first + second).lower()) is not None
        compound = is_word(first.lower()) is not None and is_word(second.lower()) is not None
        return first if hyphen == "\xad" or whole or not compound else f"{first}-"

    return HYPHENATED.sub(joined, text).replace("\xad", "")
