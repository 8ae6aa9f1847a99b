"""Tables of values: every row is a line that can be understood alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from app.rag.extraction.blocks import BlockWriter, Kind, TextBlocks, folded, row
from app.rag.extraction.errors import CORRUPT, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decoded

SAMPLE_CHARACTERS = 8192
DELIMITERS = ",;\t|"
LABEL_CHARACTERS = 60
BETWEEN_CHARACTERS = 2
"""By which ` | ` between cells is longer than what the file has."""

Dialect: TypeAlias = csv.Dialect | type[csv.Dialect]


def read_csv(content: bytes, limits: Limits) -> TextBlocks:
    """The draft of a file of comma-separated values, whatever separates them.

    Each row is written as `header: value; header: value`, or as its values where there is no header or labels
    would fill the text. The rows are gone through twice: all at once they take many times the file's memory.
    """
    csv.field_size_limit(limits.characters)
    text = decoded(content, limits)
    dialect, writer = dialect_of(text), BlockWriter(limits)
    first = list(islice(rows_of(text, dialect), 2))
    header = [folded(cell)[:LABEL_CHARACTERS] for cell in first[0]] if is_header(first) else []
    rows = cells = 0
    for each in writer.counted(rows_of(text, dialect)):
        rows, cells = rows + 1, cells + len(each)
    again = rows_of(text, dialect)
    if header and len(text) + rows * sum(len(each) + 3 for each in header) <= limits.characters // 2:
        writer.add(Kind.TABLE, joined(labelled(header, each) for each in islice(again, 1, None)) or row(header))
    else:
        between = " | " if len(text) + cells * BETWEEN_CHARACTERS <= limits.characters else dialect.delimiter
        lines = (row(each, between) for each in again)
        writer.add(Kind.TABLE, joined(lines), header=row(first[0], between) if header else "")
    return writer.draft()


def dialect_of(text: str) -> Dialect:
    """Find how the beginning of a file separates and quotes its values."""
    sample = text[:SAMPLE_CHARACTERS]
    try:
        return csv.Sniffer().sniff(sample[: sample.rfind("\n") + 1] or sample, DELIMITERS)
    except csv.Error:
        return csv.excel


def rows_of(text: str, dialect: Dialect) -> Iterator[list[str]]:
    """The rows that are not blank."""
    try:
        yield from (each for each in csv.reader(io.StringIO(text), dialect) if any(map(str.strip, each)))
    except csv.Error as error:
        raise ExtractionError(CORRUPT) from error


def joined(lines: Iterable[str]) -> str:
    """The lines that are not empty, in one text."""
    return "\n".join(filter(None, lines))


def is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of the first two rows names the columns: filled, different, and no numbers."""
    if len(rows) < 2:
        return False
    first = [folded(cell) for cell in rows[0]]
    names = [name for name in first if name]
    numbers = any(name.replace(".", "").replace("-", "").isdigit() for name in names)
    return len(names) >= len(first) - 1 and len(set(names)) == len(names) and not numbers


def labelled(header: Sequence[str], cells: Sequence[str]) -> str:
    """A row's values with their columns' names; values beyond the last column have none."""
    pairs = [
        f"{name}: {value}" if name else value
        for name, cell in zip(header, cells, strict=False)
        if (value := folded(cell))
        for name in [name]
    ]
    return "; ".join([*pairs, *filter(None, map(folded, cells[len(header) :]))])
