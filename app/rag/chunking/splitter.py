"""Cuts a document's text into chunks of 200 to 250 tokens, where it hurts least.

A cut before a unit has a price, the lower the more begins there, and so has a heading amid a chunk, and a chunk that is
small. What costs least in all is found by dynamic programming, in time linear in the number of units.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from app.domain.documents import Chunk
from app.rag.chunking.headings import Outline
from app.rag.chunking.identifiers import names_of
from app.rag.chunking.segments import MOST, Segment, segments_of
from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.errors import TOO_MANY_CHUNKS, ExtractionError
from app.rag.extraction.limits import Limits

AIM = 200
"""Tokens below which a chunk is small."""
SHORTFALL = [(max(0, AIM - tokens) / AIM) ** 2 for tokens in range(MOST + 1)]
"""The price of a chunk of so many tokens."""


def split_document(draft: TextBlocks, outline: Outline, limits: Limits) -> list[Chunk]:
    """The chunks of a draft, in order: every character that is not blank is in exactly one.

    Raises:
        Unreadable: there are more than the limit.
    """
    units = segments_of(draft)
    places = cheapest_cuts(units)
    if len(places) - 1 > limits.chunks:
        raise ExtractionError(TOO_MANY_CHUNKS)
    return [chunk_of(draft, units[first:last], outline) for first, last in pairwise(places)]


def cheapest_cuts(units: Sequence[Segment]) -> list[int]:
    """The places of the first unit of each chunk, and that after the last unit."""
    prices = [0.0]
    begins = [0]
    for end in range(1, len(units) + 1):
        price, first = cheapest_last(units, prices, end)
        prices.append(price)
        begins.append(first)
    places = [len(units)]
    while places[-1] > 0:
        places.append(begins[places[-1]])
    return places[::-1]


def cheapest_last(units: Sequence[Segment], prices: Sequence[float], end: int) -> tuple[float, int]:
    """What the units before `end` cost at least, as in `prices` for fewer of them, and where the last chunk begins."""
    best, begin = float("inf"), end - 1
    tokens, over = 0, 0.0
    for first in range(end - 1, -1, -1):
        unit = units[first]
        tokens += unit.tokens
        if tokens > MOST:
            break
        price = prices[first] + unit.cut + over + SHORTFALL[tokens]
        if price < best:
            best, begin = price, first
        over += unit.over
    return best, begin


def chunk_of(draft: TextBlocks, units: Sequence[Segment], outline: Outline) -> Chunk:
    """The chunk of some units."""
    start, end, block = units[0].start, units[-1].end, units[0].block
    content = draft.text[start:end]
    header = block.header if start > block.start else ""
    return Chunk(content, start, end, block.page, outline.above(start, end, header), names_of(content))
