"""Lines at the edges of pages: headers and footers, of which the first is kept, and page numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple, TypeAlias

from app.rag.extraction.page_line import Line
from app.rag.extraction.page_numbers import Form, PageNumber, parse_page_number

EDGE_LINES = 3
"""Lines at the top and at the bottom of a page that may be headers, footers or page numbers."""
REPEATED_PAGES = 3
REPEATED_GAP = 2
"""A header or footer stands on this many pages, each at most so many after the last: left pages may have another."""
NUMBERED_PAGES = 4
"""Consecutive bare numbers that count the pages; fewer if there are no others."""
NEIGHBOURS = 4
"""Pages within which another one has to be numbered in the same way."""
TOTAL_TOLERANCE = 2
"""Difference of the printed number of pages and the real one, as for covers."""
EXTRACT_NUMBER = 1000
"""Bare numbers that are higher than their page's place are page numbers, of a part of a book, only below this."""

Page: TypeAlias = Sequence[Line]
"""The lines of a page from the top down."""


class KeptLines(NamedTuple):
    """The lines of a page that are read."""

    indices: Sequence[int]
    own: bool
    """False if the page has nothing but page numbers and repeated headers and footers, such as a stamped scan."""


def kept_lines(pages: Sequence[Sequence[Line]], levels: Collection[float]) -> list[KeptLines]:
    """Leave out page numbers, and headers and footers that stand at the same edge of a page before.

    Everything else is kept, however similar to other lines. A page never loses its only line.

    Args:
        pages: The lines of all pages in the order of reading, none of which is blank.
        levels: The letter sizes of headings, which are no page numbers.
    """
    orders = [sorted(range(len(lines)), key=lambda index: -lines[index].height) for lines in pages]
    found = running_lines(
        [[lines[index] for index in order] for lines, order in zip(pages, orders, strict=True)], levels
    )
    return [kept_of_page(order, *each) for order, each in zip(orders, found, strict=True)]


def kept_of_page(order: Sequence[int], numbered: Collection[int], repeats: Collection[int]) -> KeptLines:
    """Return what is kept; if that is nothing, headers and footers stay, or the page number if it is all there is."""
    own = [index for place, index in enumerate(order) if place not in numbered and place not in repeats]
    others = [index for place, index in enumerate(order) if place not in numbered]
    return KeptLines(sorted(own or others or order), bool(own))


def running_lines(pages: Sequence[Page], levels: Collection[float]) -> list[tuple[set[int], set[int]]]:
    """Return for each page the indices of its page numbers, and of its headers and footers that came before."""
    repeated = repeated_lines(pages)
    numbers = {end: page_numbers(list(candidates(pages, levels, repeated[end], end)), len(pages)) for end in (0, -1)}
    found: list[tuple[set[int], set[int]]] = []
    seen: set[str] = set()
    for place, lines in enumerate(pages):
        numbered, repeats, first = set[int](), set[int](), set[str]()
        for end in (0, -1):
            for index in edge_indices(lines, end):
                text = lines[index].text
                if index == numbers[end].get(place):
                    numbered.add(index)
                elif text not in repeated[end]:
                    break
                elif text in seen:
                    repeats.add(index)
                else:
                    first.add(text)
        seen |= first
        found.append((numbered, repeats))
    return found


def edge_indices(lines: Page, end: int) -> Sequence[int]:
    """Return the indices of the outermost lines, from the edge inwards: the top for `end` 0, the bottom for -1."""
    indices = range(len(lines)) if end == 0 else range(len(lines) - 1, -1, -1)
    return indices[:EDGE_LINES]


def repeated_lines(pages: Sequence[Page]) -> dict[int, set[str]]:
    """Return the texts with letters that stand at the same edge of several consecutive pages, by edge."""
    repeated: dict[int, set[str]] = {}
    for end in (0, -1):
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, lines in enumerate(pages):
            for text in {lines[index].text for index in edge_indices(lines, end)}:
                places[text].append(place)
        repeated[end] = {
            text
            for text, found in places.items()
            if longest_run(found) >= REPEATED_PAGES and any(map(str.isalpha, text))
        }
    return repeated


def longest_run(places: Sequence[int]) -> int:
    """Return the most places that follow each other within `REPEATED_GAP`."""
    longest = run = 1
    for before, place in pairwise(places):
        run = run + 1 if place - before <= REPEATED_GAP else 1
        longest = max(longest, run)
    return longest


def candidates(
    pages: Sequence[Page], levels: Collection[float], repeated: Collection[str], end: int
) -> Iterator[tuple[int, int, PageNumber]]:
    """Yield page, line and number of what may be a page number: the outermost line, headers and footers aside."""
    for place, lines in enumerate(pages):
        index = next((index for index in edge_indices(lines, end) if lines[index].text not in repeated), None)
        number = None if index is None else parse_page_number(lines[index].text)
        if index is not None and number is not None and not (number.form is Form.BARE and lines[index].size in levels):
            yield place, index, number


def page_numbers(found: Sequence[tuple[int, int, PageNumber]], page_count: int) -> Mapping[int, int]:
    """Return the line of the page number by page, for the candidates that run along with the pages."""
    numbers: dict[int, int] = {}
    bare = [each for each in found if each[2].form is Form.BARE]
    for _, group in groupby(bare, lambda each: each[2].value - each[0]):
        run = list(group)
        shift = run[0][2].value - run[0][0] - 1
        counted = len(run) >= min(NUMBERED_PAGES, max(2, len(bare)))
        in_place = shift <= 0 or (
            run[-1][2].value < EXTRACT_NUMBER and len(run) == len(bare) >= max(3, page_count // 2)
        )
        if counted and in_place:
            numbers |= {place: index for place, index, _ in run}
    shifts = {(place, number.form, number.value - place) for place, _, number in found}
    for place, index, number in found:
        shift = number.value - place
        near = range(place - NEIGHBOURS, place + NEIGHBOURS + 1)
        agrees = any((other, number.form, shift) in shifts for other in near if other != place)
        if number.form is Form.OF_TOTAL and number.total is not None:
            agrees = agrees and abs(number.total - (page_count + shift - 1)) <= TOTAL_TOLERANCE
        in_place = number.form is Form.NAMED and shift == 1
        if number.form is Form.NAMED_OF_TOTAL or in_place or (agrees and number.form is not Form.BARE):
            numbers[place] = index
    return numbers
