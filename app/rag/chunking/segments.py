"""What a text can be cut into: headings, sentences, items, rows and lines, each with the price of a cut before it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from app.rag.extraction.blocks import Block, BlockKind, TextBlocks
from app.rag.tokenizer import count_tokens

MOST = 250
"""Tokens of a chunk, and so of a unit."""
CHARACTERS_PER_TOKEN = 10
"""Blanks have no tokens, and what the model does not know has one however long it is; both count as this long ones."""
PIECE_CHARACTERS = 80
"""Of the pieces of a line or sentence that is no unit. A character has three tokens at most, as Korean syllables."""
LETTERS = 50
"""Of the pieces of a word that is longer."""
SMALL = 16
"""Tokens that are not worth a cut."""
BATCH_TEXTS, BATCH_CHARACTERS = 4096, 100_000
"""Of the texts whose tokens are counted at once; a token takes some 300 bytes meanwhile."""

Span: TypeAlias = tuple[int, int, Block]
"""Beginning and end of something in the text, and what it is a part of."""

AFTER_HEADING = 5.0
AFTER_LEAD = 1.0
AT_SECTION = 0.0
AT_BLOCK = 0.1
AT_INTRODUCED = 0.3
AT_LINE = 0.15
AT_SENTENCE = 0.35
WITHIN_SENTENCE = 0.6
AT_PIECE = 1.5
OVER_SECTION = (0.6, 0.4, 0.25, 0.15)
"""What a heading amid a chunk costs, by its depth."""
OVER_PAGE = 0.05

SENTENCE_END = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019)\]]{0,3}+(?=\s++[^\sa-z])"
    r"|[\u3002\uff01\uff1f]++[\u300d\u300f\u201d\u2019]{0,3}"
    r"|\n"
)
"""After a full stop and its like if no small letter follows, after those of Chinese and Japanese, at a line's end."""
LINE_END = re.compile(r"\n")
WORD = re.compile(r"\S+")
TERMINAL = (*".!?\u2026\u3002\uff01\uff1f\u300d\u300f", '."', ".)", ".\u201d", "?\u201d", "!\u201d")
LEAD_CHARACTERS = 60
"""A paragraph that has no more, and no end, is taken for the name of what follows."""


@dataclass(slots=True)
class Segment:
    """A span that is not cut, and its tokens."""

    start: int
    end: int
    tokens: int
    block: Block
    cut: float = 0.0
    """The price of a cut before it."""
    over: float = 0.0
    """The price of none."""


def segments_of(draft: TextBlocks) -> list[Segment]:
    """The units of a draft, in order."""
    return merged(priced(draft, counted_units(draft)))  # one by one: there may be as many as characters


def priced(draft: TextBlocks, units: Iterator[Segment]) -> Iterator[Segment]:
    """The units with the price of a cut before each, and of none."""
    depths = {level: depth for depth, level in enumerate(sorted({each.level for each in draft.blocks if each.level}))}
    before = None
    for unit in units:
        if before is not None:
            unit.cut = price_of_cut(draft.text, before, unit)
            unit.over = price_of_none(before, unit, depths)
            gap = (unit.start - before.start) // CHARACTERS_PER_TOKEN
            before.tokens = min(MOST, max(before.tokens, gap))
            yield before
        before = unit
    if before is not None:
        yield before


def counted_units(draft: TextBlocks) -> Iterator[Segment]:
    """The sentences and lines of all blocks; in pieces where they are too long for a chunk."""
    text = draft.text
    spans = ((start, end, block) for block in draft.blocks for start, end in parts_of(text, block))
    for (start, end, block), tokens in tokens_of(text, spans):
        if tokens <= MOST:
            yield Segment(start, end, tokens, block)
        else:
            yield from pieces_of(text, start, end, block)


def parts_of(text: str, block: Block) -> Iterable[tuple[int, int]]:
    """The spans of a block's sentences or lines."""
    if block.kind is BlockKind.HEADING:
        return divided(text, block.start, block.end, None)
    return divided(text, block.start, block.end, LINE_END if block.kind.by_line else SENTENCE_END)


def divided(text: str, start: int, end: int, ends: re.Pattern[str] | None) -> Iterator[tuple[int, int]]:
    """The spans between what ends one, without blanks around them."""
    found = ends.finditer(text, start, end) if ends is not None else ()
    begun = start
    for stop in chain((each.end() for each in found), (end,)):
        part = text[begun:stop]
        if stripped := part.strip():
            first = begun + len(part) - len(part.lstrip())
            yield first, first + len(stripped)
        begun = stop


def tokens_of(text: str, spans: Iterable[Span]) -> Iterator[tuple[Span, int]]:
    """Each span with its tokens, or a number above `MOST` for one that has more whatever they are."""
    for batch in batches(spans):
        short = (end - start < (MOST + 1) * CHARACTERS_PER_TOKEN for start, end, _ in batch)
        texts = [text[start:end] if counts else "" for (start, end, _), counts in zip(batch, short, strict=True)]
        for span, tokens in zip(batch, count_tokens(texts), strict=True):
            yield span, max(tokens, (span[1] - span[0]) // CHARACTERS_PER_TOKEN)


def batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """The spans, some at a time."""
    batch: list[Span] = []
    characters = 0
    for span in spans:
        batch.append(span)
        characters += span[1] - span[0]
        if len(batch) >= BATCH_TEXTS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def pieces_of(text: str, start: int, end: int, block: Block) -> Iterator[Segment]:
    """The units of a span that is too long for one: some words, or a part of one, whose tokens can only be bounded."""
    spans = ((*piece, block) for part in divided(text, start, end, SENTENCE_END) for piece in pieces(text, *part))
    for (first, last, _), tokens in tokens_of(text, spans):
        within_word = text[first - 1 : first].strip() or text[last : last + 1].strip()
        bound = len(unicodedata.normalize("NFD", text[first:last])) if within_word else tokens
        yield Segment(first, last, min(MOST, bound), block)


def pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of whole words of at most `PIECE_CHARACTERS` in all, and of parts of words that are too long."""
    begun, stop = end, end
    for word in WORD.finditer(text, start, end):
        first, last = word.span()
        if begun < first and (last - begun > PIECE_CHARACTERS or last - first > LETTERS):
            yield begun, stop
            begun = end
        if last - first > LETTERS:
            yield from ((place, min(place + LETTERS, last)) for place in range(first, last, LETTERS))
        else:
            begun, stop = min(begun, first), last
    if begun < end:
        yield begun, stop


def price_of_cut(text: str, before: Segment, unit: Segment) -> float:
    """What it costs to cut between two units."""
    if before.block is unit.block:
        return price_within(text, before, unit)
    if before.block.kind is BlockKind.HEADING:
        return AFTER_HEADING
    if is_lead(text, before.block):
        return AFTER_LEAD
    if unit.block.kind is BlockKind.HEADING:
        return AT_SECTION
    return AT_INTRODUCED if unit.block.kind.by_line and before.block.kind is BlockKind.PARAGRAPH else AT_BLOCK


def price_within(text: str, before: Segment, unit: Segment) -> float:
    """What it costs to cut between two units of a block."""
    ended = text.endswith(TERMINAL, before.start, before.end)
    if "\n" not in text[before.end : unit.start]:
        return AT_SENTENCE if ended else AT_PIECE
    if unit.block.kind.by_line:
        return AFTER_LEAD if unit.block.header and before.start == unit.block.start else AT_LINE
    return AT_LINE if ended else WITHIN_SENTENCE


def is_lead(text: str, block: Block) -> bool:
    """Whether a block says little without the next one."""
    if block.introduces or text.endswith((":", "\uff1a"), block.start, block.end):
        return True
    short = block.kind is BlockKind.PARAGRAPH and block.end - block.start <= LEAD_CHARACTERS
    return short and not text.endswith(TERMINAL, block.start, block.end)


def price_of_none(before: Segment, unit: Segment, depths: dict[int, int]) -> float:
    """What it costs not to cut between two units."""
    if unit.block.kind is BlockKind.HEADING and before.block is not unit.block:
        return OVER_SECTION[min(depths[unit.block.level], len(OVER_SECTION) - 1)]
    return OVER_PAGE if before.block.page != unit.block.page else 0.0


def merged(units: Iterable[Segment]) -> list[Segment]:
    """The units with small neighbours as one, which bounds their number by that of tokens; no heading ends one."""
    made: list[Segment] = []
    for unit in units:
        last = made[-1] if made else None
        ends_section = (
            unit.block.kind is BlockKind.HEADING and last is not None and last.block.kind is not BlockKind.HEADING
        )
        if last is None or ends_section or last.tokens + unit.tokens > SMALL:
            made.append(unit)
        else:
            last.end = unit.end
            last.tokens += unit.tokens
    return made
