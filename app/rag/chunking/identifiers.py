"""Additional search words of a text: names that its code defines, and its identifiers joined and in parts."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_NAMES_CHARACTERS = 2000
"""Characters of the additional words of a chunk."""

DEFINITION = re.compile(
    r"\b(?:def|class|function|func|fn|sub|const|let|var|val|type|struct|interface|trait|enum|module|namespace|package|macro_rules!"
    r"|(?i:create\s+(?:or\s+replace\s+)?(?:(?:temp|temporary|unique|unlogged|materialized)\s+)?"
    r"(?:table|view|index|function|procedure|type|trigger|schema|role|extension|sequence)(?:\s+if\s+not\s+exists)?))"
    r"\s+(?:\([^()\n]{0,80}\)\s*)?\"?([A-Za-z_$][\w$.]{1,79})\"?(?=\s*(?:[({<:=;\[]|$|(?:extends|implements|struct|interface|as|on|for)\b))",
    re.MULTILINE,
)
"""A name's definition in common languages; in prose such a keyword is rarely followed by a name and a bracket."""
IDENTIFIER = re.compile(r"[A-Za-z0-9_$]+(?:[./:\\-]+[A-Za-z0-9_$]+)*")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|(?<=[A-Za-z])\d{3,}|\d{3,}(?=[A-Za-z])")
MIXED = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]|[_./:\\$]|[A-Za-z]\d|\d[A-Za-z]")
"""A change of case, a separator or a digit within a word: the marks of an identifier."""


HYPHENS = "\\-\u2010\u2011\u2012\u2013\u2212\uff0d"
SEPARATED = re.compile(
    rf"(?<![^\W_])(?:[^\W_]++(?:[_./{HYPHENS}][^\W_]++)+|[A-Z]{{1,6}} \d{{2,8}}(?: [A-Z]{{1,3}})?(?![^\W_]))"
)
"""Pieces with separators (`KX-1000-A`, `ZX-77.1/A`), or capitals, a number and capitals with blanks (`ISO 9001`)."""
PIECE = re.compile(r"[^\W_]+")
MAX_PIECES = 6
MAX_SEPARATED_CHARACTERS = 48
"""Of an identifier that is joined; longer ones are addresses and paths."""
NUMBER_DIGITS = 6
"""Least digits of a number with hyphens that is joined, as those of telephones, books and dates."""


def searchable_names(content: str) -> str:
    """Return the additional search words of a chunk, separated by spaces."""
    names = dict.fromkeys(found[1] for found in DEFINITION.finditer(content))
    words = " ".join([*names, *joined_identifiers(content, prefixes=True), *identifier_parts(content)])
    return words if len(words) <= MAX_NAMES_CHARACTERS else words[:MAX_NAMES_CHARACTERS].rpartition(" ")[0]


def identifier_parts(text: str) -> list[str]:
    """Return the parts of the identifiers in a text or query, in order, without those that are its words already."""
    identifiers: dict[str, None] = {}
    words: set[str] = set()
    for found in IDENTIFIER.finditer(text):
        if MIXED.search(found[0]):
            identifiers[found[0]] = None
        else:
            words.update(found[0].lower().split("-"))
    parts = dict.fromkeys(part.lower() for each in identifiers for part in PART.findall(each) if len(part) > 1)
    return [part for part in parts if part not in words]


def joined_identifiers(text: str, *, prefixes: bool = False) -> list[str]:
    """Return the identifiers with digits of a text or query without their separators, in lower case, each once.

    So `KX-1000-A`, `KX 1000 A` and `kx1000a` are the same word. With `prefixes`, an identifier's first pieces are
    joined too: `kx1000`.
    """
    joined: dict[str, None] = {}
    for found in SEPARATED.finditer(text):
        if len(found[0]) <= MAX_SEPARATED_CHARACTERS:
            joined.update(dict.fromkeys(joined_pieces(found[0], prefixes=prefixes)))
    return list(joined)


def joined_pieces(identifier: str, *, prefixes: bool) -> Iterator[str]:
    """Yield an identifier without separators, after its prefixes of two pieces and more; nothing for other words."""
    pieces = PIECE.findall(identifier)
    if len(pieces) > MAX_PIECES:
        return
    hyphens_only = not re.search(r"[_./ ]", identifier)
    for count in range(2 if prefixes else len(pieces), len(pieces) + 1):
        joined = "".join(pieces[:count]).lower()
        digits = sum(map(str.isdigit, joined))
        is_code = 0 < digits < len(joined)
        if is_code or (hyphens_only and digits == len(joined) >= NUMBER_DIGITS):
            yield joined
