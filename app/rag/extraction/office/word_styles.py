"""Word's styles of paragraphs: their names, and what they say of headings and lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.rag.extraction.office.package import Element, whole_number
from app.rag.extraction.office.word_numbering import LEVEL, NUMBER_ID, VALUE, W

STYLE, LIST, LEVEL_OF_OUTLINE = f"{W}pPr/{W}pStyle", f"{W}pPr/{W}numPr", f"{W}pPr/{W}outlineLvl"
HEADING = re.compile(r"heading\s*([1-9])", re.IGNORECASE)
BODY_LEVEL = 9
"""The level in the outline of text that is no heading."""


@dataclass(frozen=True, slots=True)
class Style:
    """A paragraph's style with what it takes from those that it is based on."""

    style_id: str = ""
    name: str = ""
    """In English and lower case, whatever Word's language."""
    heading: int | None = None
    """Level of a heading, 1 for the outermost; None for other text."""
    number_id: str = ""
    """The list that paragraphs of this style belong to."""
    level: int | None = None
    """Their level in it, where the style names one."""


class Styles:
    """The styles of a document, by their identifier."""

    def __init__(self, root: Element | None) -> None:
        self._elements = {} if root is None else {each.get(f"{W}styleId"): each for each in root.iter(f"{W}style")}
        self._styles: dict[str, Style] = {}

    def of(self, paragraph: Element) -> Style:
        """Return the style of a paragraph, which without one of its own has neither name nor list."""
        found = paragraph.find(STYLE)
        style_id = "" if found is None else found.get(VALUE, "")
        if style_id not in self._styles:
            self._styles[style_id] = self._resolve(style_id)
        return self._styles[style_id]

    def _resolve(self, style_id: str) -> Style:
        name, heading, number_id, level = "", None, None, None
        for element in self._bases(style_id):
            own = value(element.find(f"{W}name"))
            name = name or own.lower()
            heading = heading_level(element, own) if heading is None else heading
            number_id = list_value(element, NUMBER_ID) if number_id is None else number_id
            level = list_value(element, LEVEL) if level is None else level
        return Style(style_id, name, heading or None, number_id or "", None if level is None else whole_number(level))

    def _bases(self, style_id: str) -> Iterator[Element]:
        """Yield a style and those that it is based on, the nearest first."""
        seen = set()
        while style_id not in seen and style_id in self._elements:
            seen.add(style_id)
            yield self._elements[style_id]
            style_id = value(self._elements[style_id].find(f"{W}basedOn"))


def heading_level(element: Element, name: str = "") -> int | None:
    """Return the level that a paragraph or a style gives itself: 0 for no heading, None where it says nothing."""
    if match := HEADING.match(name):
        return int(match[1])
    if name.lower() == "title":
        return 1
    outline = element.find(LEVEL_OF_OUTLINE)
    if outline is None:
        return None
    place = whole_number(outline.get(VALUE), BODY_LEVEL)
    return place + 1 if 0 <= place < BODY_LEVEL else 0


def list_value(element: Element, name: str) -> str | None:
    """Return the identifier of a paragraph's or a style's own list, or its level there; None if it has none."""
    found = element.find(f"{LIST}/{name}")
    return None if found is None else found.get(VALUE)


def value(element: Element | None) -> str:
    return "" if element is None else element.get(VALUE, "")
