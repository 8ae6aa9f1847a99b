"""CSV: each row becomes a line that can be understood alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks, single_line, table_row
from app.rag.extraction.csv_dialect import Dialect, detect_dialect
from app.rag.extraction.errors import CORRUPT, ExtractionError
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.table_header import SAMPLE_ROWS, find_header
from app.rag.extraction.text_decoding import decode_text

LABEL_CHARACTERS = 60
"""Of a column's name before each of its values; of longer ones the middle is left out."""
LABEL_END = 22
"""Characters of the end of such a name, where questions of one kind differ."""
LINE_WIDTH = 400
"""Characters of a line of a row, wide ones counted twice: few are more than a chunk has room for."""
KEY_CHARACTERS = 60
"""Of a row's first value that is repeated in each of its lines."""
SEPARATOR_GROWTH = 2
"""Characters by which ` | ` is longer than the file's own delimiter."""


def read_csv(content: bytes, limits: Limits, _report: ReportProgress, options: ReadOptions) -> TextBlocks:
    """Read a file of values with any common delimiter.

    Each row is written as `header: value; header: value`, or as its values if there is no header or the labels
    would fill the text; titles above the header are paragraphs. The rows are parsed twice, because all at once they
    take many times the file's memory.
    """
    csv.field_size_limit(limits.characters)
    text = decode_text(content, limits, charset=options.charset)
    dialect, start = detect_dialect(text)
    text = text[start:]
    writer = BlockWriter(limits)
    row_count = cell_count = 0
    for each in writer.within_limits(parse_rows(text, dialect)):
        row_count, cell_count = row_count + 1, cell_count + len(each)
    first = list(islice(parse_rows(text, dialect), SAMPLE_ROWS))
    titles, headed = find_header(first)
    for row in first[:titles]:
        writer.add(BlockKind.PARAGRAPH, table_row(row), introduces=True)
    header = first[titles] if headed else []
    if any(len(single_line(each)) > LABEL_CHARACTERS for each in header):
        writer.add(BlockKind.PARAGRAPH, table_row(header), introduces=True)
    labels = unique_labels(header)
    rows = islice(parse_rows(text, dialect), titles, None)
    if header and len(text) + row_count * sum(len(each) + 3 for each in labels) <= limits.characters // 2:
        lines = (line for each in rows if list(each) != header for line in labelled_lines(labels, each))
        writer.add(BlockKind.TABLE, join_lines(lines) or table_row(header))
    else:
        fits = len(text) + cell_count * SEPARATOR_GROWTH <= limits.characters
        separator = " | " if fits else dialect.delimiter
        lines = (table_row(each, separator) for each in rows)
        writer.add(BlockKind.TABLE, join_lines(lines), header=table_row(header, separator) if header else "")
    return writer.build(table_row(first[0]) if titles else None)


def parse_rows(text: str, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the rows that are not blank."""
    try:
        yield from (each for each in csv.reader(io.StringIO(text), dialect) if any(map(str.strip, each)))
    except csv.Error as error:
        raise ExtractionError(CORRUPT) from error


def join_lines(lines: Iterable[str]) -> str:
    """Join the lines that are not empty."""
    return "\n".join(filter(None, lines))


def unique_labels(header: Sequence[str]) -> list[str]:
    """Return the names of columns, those that repeat an earlier one with a number: `Price`, `Price (2)`."""
    labels: list[str] = []
    counts: dict[str, int] = {}
    for cell in header:
        name = single_line(cell).rstrip(" :")
        if len(name) > LABEL_CHARACTERS:
            name = f"{name[: LABEL_CHARACTERS - LABEL_END].rstrip()} … {name[3 - LABEL_END :].lstrip()}"
        counts[name] = counts.get(name, 0) + 1
        labels.append(f"{name} ({counts[name]})" if name and counts[name] > 1 else name)
    return labels


def labelled_lines(labels: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    """Yield a row's values with the names of their columns; values beyond the header have none.

    A long row is several lines, between pairs only, and each begins with the first pair.
    """
    names = (*labels, *[""] * (len(cells) - len(labels)))
    pairs = [
        f"{name}: {value}" if name else value
        for name, cell in zip(names, cells, strict=False)
        if (value := single_line(cell))
    ]
    line: list[str] = []
    width = 0
    for pair in pairs:
        pair_width = len(pair) if pair.isascii() else sum(1 + (each > "\u1100") for each in pair)
        if line and width + pair_width > LINE_WIDTH and line != pairs[:1]:
            yield "; ".join(line)
            line = pairs[:1] if len(pairs[0]) <= KEY_CHARACTERS else []
            width = sum(map(len, line))
        line.append(pair)
        width += pair_width + 2
    if line:
        yield "; ".join(line)


FORMAT = Format("text/csv", ("csv", "tsv"), read_csv)
