"""Tables of values: every row is a line that can be understood alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from app.rag.extract.decode import decoded
from app.rag.extract.draft import Draft, Kind, Writer, folded, row
from app.rag.limits import Limits
from app.rag.unreadable import CORRUPT, Unreadable

SAMPLE_CHARACTERS = 8192
DELIMITERS = ",;\t|"
LABEL_CHARACTERS = 60


def read_csv(content: bytes, limits: Limits) -> Draft:
    """The draft of a file of comma-separated values, whatever separates them.

    Each row is written as `header: value; header: value`, or as its values where there is no header or labels
    would fill the text.
    """
    text = decoded(content, limits)
    rows = rows_of(text, limits)
    header = [folded(cell)[:LABEL_CHARACTERS] for cell in rows[0]] if rows and is_header(rows) else []
    writer = Writer(limits)
    if header and len(text) + len(rows) * sum(len(each) + 3 for each in header) <= limits.characters // 2:
        writer.add(Kind.TABLE, "\n".join(filter(None, (labelled(header, each) for each in rows[1:]))) or row(header))
    else:
        lines = list(filter(None, map(row, rows)))
        writer.add(Kind.TABLE, "\n".join(lines), header=lines[0] if header else "")
    return writer.draft()


def rows_of(text: str, limits: Limits) -> list[list[str]]:
    """The rows that are not blank."""
    csv.field_size_limit(limits.characters)
    sample = text[:SAMPLE_CHARACTERS]
    try:
        dialect: csv.Dialect | type[csv.Dialect] = csv.Sniffer().sniff(
            sample[: sample.rfind("\n") + 1] or sample, DELIMITERS
        )
    except csv.Error:
        dialect = csv.excel
    try:
        return [each for each in csv.reader(io.StringIO(text), dialect) if any(map(str.strip, each))]
    except csv.Error as error:
        raise Unreadable(CORRUPT) from error


def is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: filled, different, and no numbers."""
    first = [folded(cell) for cell in rows[0]]
    names = [name for name in first if name]
    numbers = any(name.replace(".", "").replace("-", "").isdigit() for name in names)
    return len(rows) > 1 and len(names) >= len(first) - 1 and len(set(names)) == len(names) and not numbers


def labelled(header: Sequence[str], cells: Sequence[str]) -> str:
    """A row's values with their columns' names; values beyond the last column have none."""
    pairs = [
        f"{name}: {value}" if name else value
        for name, cell in zip(header, cells, strict=False)
        if (value := folded(cell))
        for name in [name]
    ]
    return "; ".join([*pairs, *filter(None, map(folded, cells[len(header) :]))])
