"""Recognition of a table's header: the row that names its columns, and titles above it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from app.rag.extraction.blocks import single_line

SAMPLE_ROWS = 50
"""Rows that a header is compared with."""
MAX_TITLES = 10
NAME_CHARACTERS = 80
"""A column's name is rarely longer, unless it is a question, or those of other columns are certain."""
QUESTION_CHARACTERS = 500
NUMBER = re.compile(r"[-+(]?\s?[$€£¥]?\s?\d[\d.,'\s\u00a0\u202f]*(?:[eE][-+]?\d+)?\s?(?:%|[$€£¥]|[A-Z]{3})?\)?")
DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(?::\d{2})?")
ADDRESS = re.compile(r"\S+@\S+\.\S+|https?://\S+")


class Header(NamedTuple):
    """The place of a table's header: after `titles` rows, which have no values of columns."""

    titles: int
    found: bool
    """False if the first row after the titles is a row of values."""


def find_header(rows: Sequence[Sequence[str]]) -> Header:
    """Find the header among the first rows of a table."""
    rows = [[single_line(cell) for cell in row] for row in rows[:SAMPLE_ROWS]]
    titles = count_titles(rows)
    below = [row for row in rows[titles + 1 :] if row != rows[titles]]
    return Header(titles, len(rows) > titles + 1 and names_columns(rows[titles], below))


def count_titles(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of rows above the table itself: they have few cells, and less than those below."""
    filled = [sum(map(bool, row)) for row in rows]
    usual = sorted(filled)[len(filled) // 2] if filled else 0
    if usual < 2:
        return 0
    titles = 0
    while titles < min(MAX_TITLES, len(rows) - 2) and filled[titles] <= min(2, usual - 1) < max(filled[titles + 1 :]):
        if filled[titles] == 2 and (usual < 4 or is_value(rows[titles][0])):  # a row with empty cells
            break
        titles += 1
    return titles


def names_columns(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether a row names the columns of those below: it is filled, and unlike their values."""
    names = [cell for cell in first if cell]
    blank = len("|".join(first).rstrip("|").split("|")) - len(names)
    if not names or blank > max(1, len(first) // 3) or max(map(len, names)) > QUESTION_CHARACTERS:
        return False
    columns = [[row[place] for row in below if place < len(row) and row[place]] for place in range(len(first))]
    long_names = [name for name in names if len(name) > NAME_CHARACTERS]
    if long_names and not (all(name.endswith("?") for name in long_names) or stands_over_values(first, columns)):
        return False
    if len(set(names)) == 1 < len(first):
        return False
    values = [name for name in names if is_value(name)]
    if values and not (is_series(first, values, below) or is_list_of_dates(values, below)):
        return False
    return bool(values) or not resembles_values(first, columns)


def is_value(cell: str) -> bool:
    """Return whether a cell is a number, a date or an address."""
    return any(pattern.fullmatch(cell) for pattern in (NUMBER, DATE, ADDRESS))


def is_series(first: Sequence[str], values: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether the numbers of a row are a series, such as years, months or sizes, and those below are another."""
    if len(values) == len(first) or is_value(first[0]):
        return False
    series = series_of(values)
    return series is not None and all(
        series != series_of([each for each in row if is_value(each)]) for row in below[:3]
    )


def is_list_of_dates(values: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether the values of a row are different dates, ascending years or percentages, and those below are not.

    The row has two of them, or three if it has nothing else.
    """
    form = form_of(values)
    if form is None or len(set(values)) < max(2, len(values)) or (form == "year" and not is_monotonic(values)):
        return False
    others = [found for row in below[:3] if (found := [each for each in row if is_value(each)])]
    return bool(others) and all(form_of(each) != form for each in others)


def form_of(values: Sequence[str]) -> str | None:
    """Return the form that all values have, `date`, `year` or `percentage`; None for numbers and mixtures."""
    if all(map(DATE.fullmatch, values)):
        return "date"
    if all(each.isdecimal() and 1900 <= int(each) <= 2100 for each in values):
        return "year"
    return "percentage" if all(each.endswith("%") for each in values) else None


def is_monotonic(numbers: Sequence[str]) -> bool:
    return list(numbers) in (sorted(numbers, key=int), sorted(numbers, key=int, reverse=True))


def series_of(values: Sequence[str]) -> tuple[bool, int] | None:
    """Return the series that whole numbers are: whether they are years, and their step; None if they are none.

    A single number has to be a year, and two have to follow each other.
    """
    numbers = [int(each) for each in values if each.isdecimal()]
    if len(numbers) < len(values) or not numbers:
        return None
    years = all(1900 <= each <= 2100 for each in numbers)
    steps = {later - earlier for earlier, later in pairwise(numbers)} or {1}
    step = next(iter(steps))
    enough = len(numbers) > 2 or (len(numbers) == 2 and abs(step) in ({1, 2, 5, 10} if years else {1}))
    is_series = len(steps) == 1 and step != 0 and (enough or (years and len(numbers) == 1))
    return (years, step) if is_series else None


def resembles_values(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Return whether a row without numbers is one of values: a word recurs below it in its column.

    Where a word stands over numbers alone, the row is certain to be one of names.
    """
    if stands_over_values(first, columns):
        return False
    return any(name and name in column for name, column in zip(first, columns, strict=True))


def stands_over_values(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Return whether a cell that is no value has only values below it."""
    return any(
        name and column and not is_value(name) and all(map(is_value, column))
        for name, column in zip(first, columns, strict=True)
    )
