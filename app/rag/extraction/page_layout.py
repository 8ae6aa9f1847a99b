"""Lines of printed pages become headings and paragraphs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.rag.extraction.blocks import BlockWriter, Kind, TextBlocks
from app.rag.extraction.limits import Limits
from app.rag.tokenizer import tokenizer

LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\xa0": " "})
HYPHENATED = re.compile(r"\b(\w++)(-|\xad)\n(?=([a-z\xdf-\xff]\w*))")
DIGITS = re.compile(r"\d+")
LARGER = 1.12
"""A heading's letters, against those of most of the text."""
HEADING_CHARACTERS = 150
HEADING_LEVELS = 4
WIDER = 1.25
"""The distance of two paragraphs' lines, against that of most lines."""
USUAL_SHARE = 0.2
RUNNING_PAGES = 4
RUNNING_SHARE = 0.5
"""A line at the top or bottom of so many pages, numbers aside, belongs to none of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line, the size of its largest letters and its height on the page, in points."""

    text: str
    size: float
    height: float

    @classmethod
    def of(cls, text: str, size: float, height: float) -> Line:
        """A line with its letters told apart and blanks of one width."""
        return cls(" ".join(text.translate(LIGATURES).split()), round(size * 2) / 2, height)


def draft_of(pages: Sequence[Sequence[Line]], title: str | None, limits: Limits) -> TextBlocks:
    """The draft of pages."""
    pages = [[line for line in lines if line.text] for lines in pages]
    running = running_lines(pages)
    levels, distance = levels_of(pages), usual_distance(pages)
    writer = BlockWriter(limits)
    textless = []
    for number, lines in enumerate(pages, 1):
        writer.page, before = number, len(writer.blocks)
        for group in groups([line for line in lines if unnumbered(line) not in running], levels, distance):
            write(writer, group, levels)
        if len(writer.blocks) == before:
            textless.append(number)
    draft = writer.draft(title)
    draft.page_count, draft.textless_pages = len(pages), textless
    return draft


def write(writer: BlockWriter, group: Sequence[Line], levels: dict[float, int]) -> None:
    """Appends lines that belong together."""
    text = unhyphenated("\n".join(line.text for line in group))
    level = levels.get(group[0].size, 0) if len(text) <= HEADING_CHARACTERS else 0
    if level and any(map(str.isalpha, text)):
        writer.add(Kind.HEADING, text.replace("\n", " "), level=level)
    else:
        writer.add(Kind.PARAGRAPH, text)


def groups(lines: Sequence[Line], levels: dict[float, int], distance: float) -> Iterator[list[Line]]:
    """Lines that are one heading or one paragraph."""
    group: list[Line] = []
    for line in lines:
        if group and is_apart(group[-1], line, levels, distance):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def is_apart(above: Line, line: Line, levels: dict[float, int], distance: float) -> bool:
    """Whether a line begins something new; one higher up than that before it, as in the next column, does not."""
    if levels.get(above.size) != levels.get(line.size):
        return True
    return above.height - line.height > WIDER * distance * max(above.size, line.size)


def levels_of(pages: Sequence[Sequence[Line]]) -> dict[float, int]:
    """The level of a heading by the size of its letters."""
    letters: Counter[float] = Counter()
    for line in (line for lines in pages for line in lines):
        letters[line.size] += len(line.text)
    body = letters.most_common(1)[0][0] if letters else 0
    sizes = sorted((size for size in letters if size > body * LARGER), reverse=True)
    return {size: min(level, HEADING_LEVELS) for level, size in enumerate(sizes, 1)}


def usual_distance(pages: Sequence[Sequence[Line]]) -> float:
    """The smallest distance of a line from the next that is usual in the text, in sizes of its letters."""
    distances: Counter[float] = Counter()
    for lines in pages:
        for above, line in pairwise(lines):
            if above.size == line.size > 0 and above.height > line.height:
                distances[round((above.height - line.height) / line.size, 1)] += len(line.text)
    enough = USUAL_SHARE * distances.total()
    return max(1.0, min((each for each, count in distances.items() if count >= enough), default=1.2))


def running_lines(pages: Sequence[Sequence[Line]]) -> set[str]:
    """The lines that are repeated at the tops and ends of pages, without their numbers; none if there are no others."""
    at_edges = Counter(text for lines in pages if lines for text in {unnumbered(lines[0]), unnumbered(lines[-1])})
    running = {text for text, count in at_edges.items() if count >= max(RUNNING_PAGES, RUNNING_SHARE * len(pages))}
    others = any(unnumbered(line) not in running for lines in pages for line in lines)
    return running if others else set()


def unnumbered(line: Line) -> str:
    """The line's text, the same whatever the page's number."""
    return DIGITS.sub("#", line.text)


def unhyphenated(text: str) -> str:
    """The text with words joined that a line's end divides, as far as a list of words tells them from compounds."""
    is_word = tokenizer().token_to_id

    def joined(found: re.Match[str]) -> str:
        first, mark, second = found[1], found[2], found[3]
        whole = is_word((first + second).lower()) is not None
        compound = is_word(first.lower()) is not None and is_word(second.lower()) is not None
        return first if mark == "\xad" or whole or not compound else f"{first}-"

    return HYPHENATED.sub(joined, text).replace("\xad", "")
