"""Splits a document's text into chunks of 200 to 250 tokens at the least total cost.

A cut before a segment has a cost, lower where a larger part of the document begins; so has a heading in the middle of a
chunk, and a small chunk. The minimum is found by dynamic programming, in time linear in the number of segments.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from app.domain.documents import Chunk, PageStart
from app.rag.chunking.headings import Outline
from app.rag.chunking.identifiers import searchable_names
from app.rag.chunking.segments import MAX_TOKENS, Segment, segments_of
from app.rag.extraction.blocks import Block, TextBlocks
from app.rag.extraction.limits import Limits

TARGET_TOKENS = 200
"""Tokens below which a chunk is small."""
SIZE_COSTS = [(max(0, TARGET_TOKENS - tokens) / TARGET_TOKENS) ** 2 for tokens in range(MAX_TOKENS + 1)]
"""The cost of a chunk by its number of tokens."""


def split_document(document: TextBlocks, outline: Outline, limits: Limits) -> list[Chunk]:
    """Split a document; each character that is not blank is in exactly one chunk, of as many as the limit allows."""
    segments = segments_of(document)
    boundaries = cheapest_boundaries(segments)
    del boundaries[limits.chunks + 1 :]
    pages = page_starts_of(document.blocks)
    return [build_chunk(document, segments[first:last], outline, pages) for first, last in pairwise(boundaries)]


def page_starts_of(blocks: Sequence[Block]) -> list[PageStart]:
    """Return where each page with text begins, in order; none for a format without pages."""
    starts: list[PageStart] = []
    for block in blocks:
        if block.page is not None and (not starts or starts[-1].page != block.page):
            starts.append(PageStart(block.start, block.page))
    return starts


def cheapest_boundaries(segments: Sequence[Segment]) -> list[int]:
    """Return the index of the first segment of each chunk, and at the end the number of segments."""
    costs = [0.0]
    starts = [0]
    for end in range(1, len(segments) + 1):
        cost, start = cheapest_last_chunk(segments, costs, end)
        costs.append(cost)
        starts.append(start)
    boundaries = [len(segments)]
    while boundaries[-1] > 0:
        boundaries.append(starts[boundaries[-1]])
    return boundaries[::-1]


def cheapest_last_chunk(segments: Sequence[Segment], costs: Sequence[float], end: int) -> tuple[float, int]:
    """Find the best last chunk of the first `end` segments.

    `costs` has the least total cost of every smaller number of segments.

    Returns:
        The least total cost, and the index of the last chunk's first segment.
    """
    least, start = float("inf"), end - 1
    tokens, join_costs = 0, 0.0
    for first in range(end - 1, -1, -1):
        segment = segments[first]
        tokens += segment.tokens
        if tokens > MAX_TOKENS:
            break
        cost = costs[first] + segment.cut_cost + join_costs + SIZE_COSTS[tokens]
        if cost < least:
            least, start = cost, first
        join_costs += segment.join_cost
    return least, start


def build_chunk(
    document: TextBlocks, segments: Sequence[Segment], outline: Outline, pages: Sequence[PageStart]
) -> Chunk:
    """Build the chunk of some consecutive segments; `pages` are the page starts of the document."""
    start, end, block = segments[0].start, segments[-1].end, segments[0].block
    content = document.text[start:end]
    header = block.header if start > block.start else ""
    first, last = bisect_right(pages, start, key=place_of), bisect_left(pages, end, key=place_of)
    return Chunk(
        content,
        start,
        end,
        block.page,
        outline.heading_path(start, end, header),
        searchable_names(content),
        None if block.page is None else pages[first:last],
    )


def place_of(page: PageStart) -> int:
    return page.start
