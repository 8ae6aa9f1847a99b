"""Segments of a text, which is cut only between them: headings, sentences, list items, rows and lines, with costs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from app.rag.extraction.blocks import Block, BlockKind, TextBlocks
from app.rag.tokenizer import count_tokens

MAX_TOKENS = 250
"""Of a chunk, and so of a segment."""
CHARACTERS_PER_TOKEN = 10
"""Lower bound on tokens: one per this many characters. Blanks have none, and an unknown word of any length has one."""
GROUP_CHARACTERS = 80
"""Of a word group in a line or sentence that is too long. A character has three tokens at most, as Korean syllables."""
NAMES_CHARACTERS = 140
"""Of the name of a row and that of a column before a long value."""
WORD_CHARACTERS = 50
"""Longer words are cut into pieces of this length."""
SMALL_TOKENS = 16
"""Tokens up to which neighbouring segments are merged."""
BATCH_TEXTS, BATCH_CHARACTERS = 4096, 100_000
"""Of texts whose tokens are counted in one call, which takes some 300 bytes per token."""

Span: TypeAlias = tuple[int, int, Block]
"""Start and end of a span of the text, and the block that it is in."""

# Costs of a cut, by its place. A lead is a block that introduces the next one, such as a caption.
AFTER_HEADING = 5.0
AFTER_LEAD = 1.0
AT_SECTION = 0.0
"""Before a heading."""
AT_BLOCK = 0.1
AT_INTRODUCED = 0.3
"""Between a paragraph and the list, table or code after it."""
AT_LINE = 0.15
AT_SENTENCE = 0.35
WITHIN_SENTENCE = 0.6
"""At a line's end in the middle of a sentence."""
AT_PIECE = 1.5
"""Within a line, where no sentence ends."""
JOINED_SECTIONS = (0.6, 0.4, 0.25, 0.15)
"""Costs of a heading in the middle of a chunk, by its depth."""
JOINED_PAGES = 0.05

SENTENCE_END = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019)\]]{0,3}+(?=\s++[^\sa-z])"
    r"|[\u3002\uff01\uff1f\u0964\u0965\u061f\u06d4]++[\u300d\u300f\u201d\u2019]{0,3}"
    r"|\n"
)
"""A full stop or the like that no lower-case letter follows, one of another script, or a line's end."""
LINE_END = re.compile(r"\n")
WORD = re.compile(r"\S+")
OTHER_TERMINAL = "\u3002\uff01\uff1f\u300d\u300f\u0964\u0965\u061f\u06d4"
TERMINAL = (*".!?\u2026", *OTHER_TERMINAL, '."', ".)", ".\u201d", "?\u201d", "!\u201d")
LEAD_CHARACTERS = 60
"""A paragraph that is no longer, and does not end a sentence, is taken for the name of the next block."""


@dataclass(slots=True)
class Segment:
    """A span that is not cut."""

    start: int
    end: int
    tokens: int
    block: Block
    cut_cost: float = 0.0
    """Cost of a cut before it."""
    join_cost: float = 0.0
    """Cost of no cut before it."""


def segments_of(document: TextBlocks) -> list[Segment]:
    """Return the segments of a document, in order."""
    return merge_small(with_costs(document, counted_segments(document)))  # lazily: there may be one per character


def with_costs(document: TextBlocks, segments: Iterator[Segment]) -> Iterator[Segment]:
    """Set the costs of each segment, and count the gap after it as tokens of its own."""
    levels = sorted({each.level for each in document.blocks if each.level})
    depths = {level: depth for depth, level in enumerate(levels)}
    previous = None
    for segment in segments:
        if previous is not None:
            segment.cut_cost = cut_cost(document.text, previous, segment)
            segment.join_cost = join_cost(previous, segment, depths)
            with_gap = (segment.start - previous.start) // CHARACTERS_PER_TOKEN
            previous.tokens = min(MAX_TOKENS, max(previous.tokens, with_gap))
            yield previous
        previous = segment
    if previous is not None:
        yield previous


def counted_segments(document: TextBlocks) -> Iterator[Segment]:
    """Yield the sentences and lines of all blocks, in pieces if they are too long for a chunk."""
    text = document.text
    spans = ((start, end, block) for block in document.blocks for start, end in spans_of_block(text, block))
    for (start, end, block), tokens in with_tokens(text, spans):
        if tokens <= MAX_TOKENS:
            yield Segment(start, end, tokens, block)
        else:
            yield from segments_of_long_span(text, start, end, block)


def spans_of_block(text: str, block: Block) -> Iterable[tuple[int, int]]:
    """Return the spans of a block's sentences or lines; a heading is one."""
    if block.kind is BlockKind.HEADING:
        return split_span(text, block.start, block.end, None)
    return split_span(text, block.start, block.end, LINE_END if block.kind.by_line else SENTENCE_END)


def split_span(text: str, start: int, end: int, separator: re.Pattern[str] | None) -> Iterator[tuple[int, int]]:
    """Split a span after each match of `separator`; yield the parts without surrounding blanks."""
    matches = separator.finditer(text, start, end) if separator is not None else ()
    begin = start
    for stop in chain((each.end() for each in matches), (end,)):
        part = text[begin:stop]
        if stripped := part.strip():
            first = begin + len(part) - len(part.lstrip())
            yield first, first + len(stripped)
        begin = stop


def with_tokens(text: str, spans: Iterable[Span]) -> Iterator[tuple[Span, int]]:
    """Yield each span with its number of tokens, or a number over `MAX_TOKENS` if it is certainly over."""
    for batch in batches(spans):
        short = (end - start < (MAX_TOKENS + 1) * CHARACTERS_PER_TOKEN for start, end, _ in batch)
        texts = [text[start:end] if counts else "" for (start, end, _), counts in zip(batch, short, strict=True)]
        for span, tokens in zip(batch, count_tokens(texts), strict=True):
            yield span, max(tokens, (span[1] - span[0]) // CHARACTERS_PER_TOKEN)


def batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
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


def segments_of_long_span(text: str, start: int, end: int, block: Block) -> Iterator[Segment]:
    """Yield the word groups of a span that is too long for a chunk.

    The tokens of a piece of a word depend on its neighbours; they are bounded by its decomposed characters.
    """
    value = start_of_value(text, start, end) if block.kind is BlockKind.TABLE else start
    groups = (group for part in split_span(text, value, end, SENTENCE_END) for group in word_groups(text, *part))
    spans = ((start if first == value else first, last, block) for first, last in groups)
    for (first, last, _), tokens in with_tokens(text, spans):
        within_word = text[first - 1 : first].strip() or text[last : last + 1].strip()
        bound = len(unicodedata.normalize("NFD", text[first:last])) if within_word else tokens
        yield Segment(first, last, min(MAX_TOKENS, bound), block)


def start_of_value(text: str, start: int, end: int) -> int:
    """Return the place after the names at the beginning of a table's line, which are not cut off from their value."""
    place = text.rfind(": ", start, min(end, start + NAMES_CHARACTERS))
    return start if place < 0 else place + 2


def word_groups(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield spans of whole words of at most `GROUP_CHARACTERS` in all, and pieces of words that are too long."""
    begin, stop = end, end
    for word in WORD.finditer(text, start, end):
        first, last = word.span()
        if begin < first and (last - begin > GROUP_CHARACTERS or last - first > WORD_CHARACTERS):
            yield begin, stop
            begin = end
        if last - first > WORD_CHARACTERS:
            yield from ((place, min(place + WORD_CHARACTERS, last)) for place in range(first, last, WORD_CHARACTERS))
        else:
            begin, stop = min(begin, first), last
    if begin < end:
        yield begin, stop


def cut_cost(text: str, previous: Segment, segment: Segment) -> float:
    """Return the cost of a cut between two segments."""
    if previous.block is segment.block:
        return cut_cost_within_block(text, previous, segment)
    if previous.block.kind is BlockKind.HEADING:
        return AFTER_HEADING
    if is_lead(text, previous.block):
        return AFTER_LEAD
    if segment.block.kind is BlockKind.HEADING:
        return AT_SECTION
    return AT_INTRODUCED if segment.block.kind.by_line and previous.block.kind is BlockKind.PARAGRAPH else AT_BLOCK


def cut_cost_within_block(text: str, previous: Segment, segment: Segment) -> float:
    ended = text.endswith(TERMINAL, previous.start, previous.end)
    if "\n" not in text[previous.end : segment.start]:
        return AT_SENTENCE if ended else AT_PIECE
    if segment.block.kind.by_line:
        return AFTER_LEAD if segment.block.header and previous.start == segment.block.start else AT_LINE
    return AT_LINE if ended else WITHIN_SENTENCE


def is_lead(text: str, block: Block) -> bool:
    """Return whether a block introduces the next one and means little without it."""
    if block.introduces or text.endswith((":", "\uff1a"), block.start, block.end):
        return True
    short = block.kind is BlockKind.PARAGRAPH and block.end - block.start <= LEAD_CHARACTERS
    return short and not text.endswith(TERMINAL, block.start, block.end)


def join_cost(previous: Segment, segment: Segment, depths: dict[int, int]) -> float:
    """Return the cost of two segments in one chunk; `depths` are those of heading levels, 0 for the outermost."""
    if segment.block.kind is BlockKind.HEADING and previous.block is not segment.block:
        return JOINED_SECTIONS[min(depths[segment.block.level], len(JOINED_SECTIONS) - 1)]
    return JOINED_PAGES if previous.block.page != segment.block.page else 0.0


def merge_small(segments: Iterable[Segment]) -> list[Segment]:
    """Merge small neighbours, which bounds the number of segments; a merged one never ends with a heading."""
    heading = BlockKind.HEADING
    merged: list[Segment] = []
    for segment in segments:
        last = merged[-1] if merged else None
        ends_section = segment.block.kind is heading and last is not None and last.block.kind is not heading
        if last is None or ends_section or last.tokens + segment.tokens > SMALL_TOKENS:
            merged.append(segment)
        else:
            last.end = segment.end
            last.tokens += segment.tokens
    return merged
