"""Additional search words of a text: names that its code defines, and parts of its identifiers."""

from __future__ import annotations

import re

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
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
MIXED = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]|[_./:\\$]|[A-Za-z]\d|\d[A-Za-z]")
"""A change of case, a separator or a digit within a word: the marks of an identifier."""


def searchable_names(content: str) -> str:
    """Return the additional search words of a chunk, separated by spaces."""
    names = dict.fromkeys(found[1] for found in DEFINITION.finditer(content))
    words = " ".join([*names, *identifier_parts(content)])
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
