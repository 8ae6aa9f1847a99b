"""The text of PowerPoint's frames: shapes, cells, notes and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.rag.extraction.office.counters import counter
from app.rag.extraction.office.drawing import A
from app.rag.extraction.office.math import FORMULA, math_text
from app.rag.extraction.office.package import Element, whole_number
from app.rag.extraction.office.symbols import symbol_text

PARAGRAPH, PROPERTIES, AUTOMATIC_NUMBER = f"{A}p", f"{A}pPr", f"{A}buAutoNum"
OWN_BULLETS = (f"{A}buNone", f"{A}buChar", f"{A}buBlip")
RUN, FIELD, BREAK, TEXT, SYMBOL_FONT = f"{A}r", f"{A}fld", f"{A}br", f"{A}t", f"{A}rPr/{A}sym"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
SCHEME = re.compile("(arabic|roman|alpha|circleNum|ea1)(Lc|Uc|)")
COUNTERS = {
    "arabic": "decimal",
    "romanLc": "lowerRoman",
    "romanUc": "upperRoman",
    "alphaLc": "lowerLetter",
    "alphaUc": "upperLetter",
    "circleNum": "decimalEnclosedCircle",
    "ea1": "chineseCounting",
}
"""The formats of Word for those of PowerPoint, by the beginning of their name."""
AROUND = (("ParenBoth", "({})"), ("ParenR", "{})"), ("Period", "{}."), ("Minus", "{} -"))


def frame_text(frame: Element | None) -> str:
    """Return a frame's paragraphs, each on lines of its own."""
    return "\n".join(frame_lines(frame)).strip("\n")


def frame_lines(frame: Element | None) -> Iterator[str]:
    """Yield a frame's paragraphs with their numbers, indented by their level."""
    numbers = AutomaticNumbers()
    for paragraph in () if frame is None else frame.iterfind(PARAGRAPH):
        properties, lines = paragraph.find(PROPERTIES), paragraph_text(paragraph).strip().split("\n")
        level = 0 if properties is None else whole_number(properties.get("lvl"))
        if not lines[0]:
            yield ""
            continue
        marker = numbers.marker(level, automatic_number(frame, properties, level))
        indent = "  " * level
        yield indent + marker + f"\n{indent}  ".join(map(str.strip, lines))


class AutomaticNumbers:
    """Counts the numbered paragraphs of a frame; others of the same level, or of one above, end a count."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[str, int]] = {}
        """The scheme and the last number of each level."""

    def marker(self, level: int, numbers: Element | None) -> str:
        """Return the number of the next paragraph with a blank; empty if it has none."""
        before = self._counts.get(level)
        self._counts = {place: count for place, count in self._counts.items() if place < level}
        if numbers is None:
            return ""
        scheme = numbers.get("type", "")
        continues = before is not None and before[0] == scheme
        number = before[1] + 1 if before and continues else whole_number(numbers.get("startAt"), 1)
        self._counts[level] = scheme, number
        return f"{numbered(scheme, number)} "


def automatic_number(frame: Element, properties: Element | None, level: int) -> Element | None:
    """Return how a paragraph is numbered, by its own properties or by those of its frame; None if it is not."""
    if properties is not None:
        found = properties.find(AUTOMATIC_NUMBER)
        if found is not None or any(properties.find(each) is not None for each in OWN_BULLETS):
            return found
    return frame.find(f"{A}lstStyle/{A}lvl{level + 1}pPr/{AUTOMATIC_NUMBER}")


def numbered(scheme: str, number: int) -> str:
    """Return a number in a scheme of ECMA-376, part 1, 20.1.10.61, such as `romanLcParenR`; else in digits."""
    match = SCHEME.match(scheme)
    kind = "decimal" if match is None else COUNTERS.get(match[0], COUNTERS.get(match[1], "decimal"))
    around = next((form for ending, form in AROUND if scheme.endswith(ending)), "{}")
    return around.format(counter(number, kind))


def paragraph_text(paragraph: Element) -> str:
    """Return a paragraph's text, with its line breaks and formulas, but without the slide's number."""
    parts = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if element.tag == TEXT:
            font = element.getparent().find(SYMBOL_FONT)
            parts.append(symbol_text(element.text or "", "" if font is None else font.get("typeface", "")))
        elif element.tag == BREAK:
            parts.append("\n")
        elif element.tag == FORMULA:
            parts.append(math_text(element))
        elif element.tag == FIELD and element.get("type") == "slidenum":
            continue
        elif element.tag != FALLBACK or element.getprevious() is None:
            stack.extend(reversed(element))
    return "".join(parts).replace("\xad", "").replace("\v", "\n").replace("_x000B_", "\n")
