"""Detection of how a file of values delimits and quotes them."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from itertools import islice
from typing import Literal

from app.rag.extraction.table_header import is_value

SAMPLE_CHARACTERS = 1 << 18
SAMPLE_ROWS = 1000
DELIMITERS = "\t;|,"
"""The likelier first where several fit alike: commas are also within numbers, and semicolons rarely within words."""
SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?[^\S\n]*(?:\n|\Z)", re.IGNORECASE)
"""The first line of a file that Excel has written or is to read: it names the delimiter."""
SINGLE_QUOTES = re.compile(r"(?:^|[,;\t|]) ?'[^'\n]*'(?=[,;\t|]|$)", re.MULTILINE)
ESCAPED_QUOTE = re.compile(r'[^\\]\\"(?!\s*(?:[,;\t|\n]|\Z))')


class Dialect(csv.Dialect):
    """Values with delimiters, quoted where needed, with doubled quotes within; blanks after a delimiter are skipped."""

    doublequote = True
    skipinitialspace = True
    lineterminator = "\n"
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
    strict = False

    def __init__(self, delimiter: str, *, quote: str = '"', escape: str | None = None, quoted: bool = True) -> None:
        self.delimiter = delimiter
        self.quotechar = quote
        self.escapechar = escape
        if not quoted:
            self.quoting = csv.QUOTE_NONE
        super().__init__()


def detect_dialect(text: str) -> tuple[Dialect, int]:
    """Return the dialect of a file, and the number of characters before its first row."""
    if named := SEPARATOR_LINE.match(text):
        return Dialect(named[1]), named.end()
    sample = text[:SAMPLE_CHARACTERS]
    if len(sample) < len(text):
        sample = sample[: sample.rfind("\n") + 1] or sample
    double = sample.count('"')
    quote = "'" if not double and len(SINGLE_QUOTES.findall(sample)) > 1 else '"'
    escape = "\\" if ESCAPED_QUOTE.search(sample) and '""' not in sample.replace('"",', "") else None
    candidates = [Dialect(each, quote=quote, escape=escape) for each in DELIMITERS if each in sample]
    if text.count('"') % 2:  # an inch mark or a lost quote, which would join all rows after it
        candidates += [Dialect(each, quoted=False) for each in DELIMITERS if each in sample]
    return max(candidates, key=lambda each: consistency(sample, each), default=Dialect(",")), 0


def consistency(sample: str, dialect: Dialect) -> tuple[float, float, float]:
    """Return how well a dialect fits a sample, to be compared with that of others.

    The shares of rows that have the usual number of cells (of two or more), of values such as numbers among the cells,
    and of rows on a line of their own.
    """
    try:
        rows = [row for row in islice(csv.reader(io.StringIO(sample), dialect), SAMPLE_ROWS) if any(row)]
    except csv.Error:
        return (0.0, 0.0, 0.0)
    widths = Counter(map(len, rows))
    [(usual, count)] = widths.most_common(1) or [(0, 0)]
    if usual < 2:
        wide = {width: number for width, number in widths.items() if width > 1}
        usual = max(wide, key=lambda width: wide[width], default=1)
        count = wide.get(usual, 0)
    cells = [cell.strip() for row in rows for cell in row if cell.strip()]
    values = sum(map(is_value, cells)) / max(len(cells), 1)
    single = sum("\n" not in cell for cell in cells) / max(len(cells), 1)
    return (round(count / max(len(rows), 1), 1), values, single)
