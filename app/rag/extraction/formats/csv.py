"""CSV: each row becomes a line that can be understood alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks, single_line, table_row
from app.rag.extraction.errors import CORRUPT, ExtractionError
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decode_text

SAMPLE_CHARACTERS = 8192
DELIMITERS = ",;\t|"
LABEL_CHARACTERS = 60
SEPARATOR_GROWTH = 2
"""Characters by which ` | ` is longer than the file's own delimiter."""

Dialect: TypeAlias = csv.Dialect | type[csv.Dialect]


def read_csv(content: bytes, limits: Limits, _report: ReportProgress, options: ReadOptions) -> TextBlocks:
    """Read a file of values with any common delimiter.

    Each row is written as `header: value; header: value`, or as its values if there is no header or the labels
    would fill the text. The rows are parsed twice, because all at once they take many times the file's memory.
    """
    csv.field_size_limit(limits.characters)
    text = decode_text(content, limits, charset=options.charset)
    dialect, writer = detect_dialect(text), BlockWriter(limits)
    first = list(islice(parse_rows(text, dialect), 2))
    header = [single_line(cell)[:LABEL_CHARACTERS] for cell in first[0]] if has_header(first) else []
    row_count = cell_count = 0
    for each in writer.within_limits(parse_rows(text, dialect)):
        row_count, cell_count = row_count + 1, cell_count + len(each)
    rows = parse_rows(text, dialect)
    if header and len(text) + row_count * sum(len(each) + 3 for each in header) <= limits.characters // 2:
        lines = (labelled_row(header, each) for each in islice(rows, 1, None))
        writer.add(BlockKind.TABLE, join_lines(lines) or table_row(header))
    else:
        fits = len(text) + cell_count * SEPARATOR_GROWTH <= limits.characters
        separator = " | " if fits else dialect.delimiter
        lines = (table_row(each, separator) for each in rows)
        writer.add(BlockKind.TABLE, join_lines(lines), header=table_row(first[0], separator) if header else "")
    return writer.build()


def detect_dialect(text: str) -> Dialect:
    """Return how the beginning of a file delimits and quotes values; Excel's way if that is unclear."""
    sample = text[:SAMPLE_CHARACTERS]
    try:
        return csv.Sniffer().sniff(sample[: sample.rfind("\n") + 1] or sample, DELIMITERS)
    except csv.Error:
        return csv.excel


def parse_rows(text: str, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the rows that are not blank."""
    try:
        yield from (each for each in csv.reader(io.StringIO(text), dialect) if any(map(str.strip, each)))
    except csv.Error as error:
        raise ExtractionError(CORRUPT) from error


def join_lines(lines: Iterable[str]) -> str:
    """Join the lines that are not empty."""
    return "\n".join(filter(None, lines))


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of the first two rows names the columns: filled, distinct, and no numbers."""
    if len(rows) < 2:
        return False
    first = [single_line(cell) for cell in rows[0]]
    names = [name for name in first if name]
    numbers = any(name.replace(".", "").replace("-", "").isdigit() for name in names)
    return len(names) >= len(first) - 1 and len(set(names)) == len(names) and not numbers


def labelled_row(header: Sequence[str], cells: Sequence[str]) -> str:
    """Return a row's values with the names of their columns; values beyond the header have none."""
    pairs = [
        f"{name}: {value}" if name else value
        for name, cell in zip(header, cells, strict=False)
        if (value := single_line(cell))
    ]
    return "; ".join([*pairs, *filter(None, map(single_line, cells[len(header) :]))])


FORMAT = Format("text/csv", ("csv", "tsv"), read_csv)
