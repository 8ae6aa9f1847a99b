"""Further words by which a text is found: names that its code defines, and parts of its identifiers."""

from __future__ import annotations

import re

NAMES_CHARACTERS = 2000
"""Of the further words of a chunk."""

DEFINITION = re.compile(
    r"\b(?:def|class|function|func|fn|sub|const|let|var|val|type|struct|interface|trait|enum|module|namespace|package|macro_rules!"
    r"|(?i:create\s+(?:or\s+replace\s+)?(?:(?:temp|temporary|unique|unlogged|materialized)\s+)?"
    r"(?:table|view|index|function|procedure|type|trigger|schema|role|extension|sequence)(?:\s+if\s+not\s+exists)?))"
    r"\s+(?:\([^()\n]{0,80}\)\s*)?\"?([A-Za-z_$][\w$.]{1,79})\"?(?=\s*(?:[({<:=;\[]|$|(?:extends|implements|struct|interface|as|on|for)\b))",
    re.MULTILINE,
)
"""Where code in the common languages defines a name; in prose a word like these is seldom followed by a bracket."""
COMPOUND = re.compile(r"[A-Za-z0-9_$]+(?:[./:\\-]+[A-Za-z0-9_$]+)*")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
HUMP = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]|[_./:\\$]|[A-Za-z]\d|\d[A-Za-z]")


def names_of(content: str) -> str:
    """The further words of a chunk, with spaces between."""
    names = dict.fromkeys(found[1] for found in DEFINITION.finditer(content))
    words = " ".join([*names, *parts_of(content)])
    return words if len(words) <= NAMES_CHARACTERS else words[:NAMES_CHARACTERS].rpartition(" ")[0]


def parts_of(text: str) -> list[str]:
    """The parts of a text's, or a query's, compounds that are no words of it already, in order, each once."""
    compounds: dict[str, None] = {}
    words: set[str] = set()
    for found in COMPOUND.finditer(text):
        if HUMP.search(found[0]):
            compounds[found[0]] = None
        else:
            words.update(found[0].lower().split("-"))
    parts = dict.fromkeys(part.lower() for each in compounds for part in PART.findall(each) if len(part) > 1)
    return [part for part in parts if part not in words]
