"""Tables of HTML: cells over several rows and columns, headers, and tables that are only layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from app.rag.extraction.table_header import count_titles, is_value, names_columns

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_COLUMNS_SPANNED = 1000
MAX_ROWS_SPANNED = 65_534
"""Limits of the HTML Standard."""
REPEATED_CHARACTERS = 200
"""Of a cell whose text is repeated in all places that it covers; longer ones leave them empty."""
COMPARED_ROWS = 50


def rows_of(table: LexborNode) -> list[LexborNode]:
    """Return the rows of a data table; none of a layout table, which has one column or contains tables."""
    if any(each.mem_id != table.mem_id for each in table.css("table")):
        return []
    rows = [each for each in table.css("tr") if next(cells_of(each), None) is not None]
    return rows if any(len(list(cells_of(each))) > 1 for each in rows) else []


def cells_of(row: LexborNode) -> Iterator[LexborNode]:
    return (cell for cell in row.iter() if cell.tag in {"td", "th"})


def grid(rows: Sequence[LexborNode], text_of: Callable[[LexborNode], str]) -> Iterator[list[str]]:
    """Yield the texts of each row's cells, those over several rows or columns in each place that they cover.

    A cell that is a row of its own stands once.
    """
    above: dict[int, tuple[int, str]] = {}
    """By column the rows that a cell from above still covers, and its text."""
    for row in rows:
        line: list[str] = []
        cells = list(cells_of(row))
        for cell in cells:
            fill_from_above(line, above)
            text = text_of(cell)
            columns = span(cell, "colspan", MAX_COLUMNS_SPANNED)
            height = span(cell, "rowspan", MAX_ROWS_SPANNED)
            copy = text if len(text) <= REPEATED_CHARACTERS else ""
            for place in range(columns):
                if height > 1:
                    above[len(line)] = (height - 1, copy)
                line.append(text if not place else copy if len(cells) > 1 or height > 1 else "")
        fill_from_above(line, above)
        yield line


def fill_from_above(line: list[str], above: dict[int, tuple[int, str]]) -> None:
    """Append the texts of cells from above that cover the next places of a row."""
    while len(line) in above:
        left, text = above.pop(len(line))
        if left > 1:
            above[len(line)] = (left - 1, text)
        line.append(text)


def span(cell: LexborNode, name: str, limit: int) -> int:
    """Return the number of columns or rows that a cell covers; a `rowspan` of zero covers all that follow."""
    value = (cell.attributes.get(name) or "").strip()
    number = int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else 1
    return min(number or (limit if name == "rowspan" else 1), limit)


def header_of(rows: Sequence[LexborNode], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of a table's columns, those of several header rows joined; none if it has no header.

    Args:
        rows: the first rows of the table.
        lines: their texts.
    """
    heads = 0
    while heads < min(len(rows) - 1, 3) and is_head(rows[heads]):
        heads += 1
    if heads:
        columns = max(map(len, lines[:heads]))
        parts = ([line[place] for line in lines[:heads] if place < len(line)] for place in range(columns))
        return [" ".join(dict.fromkeys(filter(None, each))) for each in parts]
    titles = count_titles(lines)
    first, below = lines[titles], lines[titles + 1 :]
    return list(first) if names_columns(first, below) and (stands_out(rows[titles]) or has_value_columns(below)) else []


def is_head(row: LexborNode) -> bool:
    return all(cell.tag == "th" for cell in cells_of(row)) or (row.parent is not None and row.parent.tag == "thead")


def stands_out(row: LexborNode) -> bool:
    """Return whether all cells of a row are in bold."""
    return all(cell.css_first("b, strong") is not None for cell in cells_of(row))


def has_value_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a column has only numbers, dates and the like, in three rows or more."""
    columns = zip(*rows, strict=False)
    return len(rows) > 2 and any(all(map(is_value, filter(None, each))) and any(each) for each in columns)
