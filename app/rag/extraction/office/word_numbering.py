"""Numbers and bullets of Word's lists, counted as Word counts them (ECMA-376, part 1, 17.9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.rag.extraction.office.counters import counter
from app.rag.extraction.office.package import OFFICE, Element, is_on, whole_number

W = f"{{{OFFICE}/wordprocessingml/2006/main}}"
VALUE, NUMBER_ID, LEVEL, LEVEL_TEXT = f"{W}val", f"{W}numId", f"{W}ilvl", f"{W}lvlText"
BULLET = "-"
PLACE = re.compile("%([1-9])")
LEVELS = 9


@dataclass(frozen=True, slots=True)
class Level:
    """Numbers of the items of one level of a list."""

    start: int = 1
    form: str = "decimal"
    text: str = "%1."
    """With `%1` to `%9` for the numbers of the levels from the outermost on."""
    restart: int | None = None
    """The level, from 1 on, after whose items the numbers begin again; 0 for none, None for any that is above."""
    legal: bool = False
    """Set where the numbers of all levels are written in digits."""
    style: str = ""
    """The style whose paragraphs are on this level."""


def level_of(element: Element) -> Level:
    restart, text = element.find(f"{W}lvlRestart"), element.find(LEVEL_TEXT)
    return Level(
        start=whole_number(value_of(element, "start")),
        form=value_of(element, "numFmt") or "decimal",
        text="" if text is None else text.get(VALUE, ""),
        restart=None if restart is None else whole_number(restart.get(VALUE)),
        legal=is_on(element.find(f"{W}isLgl"), VALUE),
        style=value_of(element, "pStyle") or "",
    )


def value_of(element: Element, name: str) -> str | None:
    """Return the value of a property; None if it has none."""
    found = element.find(f"{W}{name}")
    return None if found is None else found.get(VALUE)


class Numbering:
    """The lists of a document; counts their items in the order of the calls for their numbers."""

    def __init__(self, root: Element | None) -> None:
        self._lists: dict[str, Element] = {}
        """The abstract list of each list in use, by `numId`."""
        self._levels: dict[str, Mapping[int, Level]] = {}
        self._starts: dict[str, dict[int, int]] = {}
        """Numbers that a list begins with instead of its levels' own, until they are used."""
        self._counts: dict[Element, list[int | None]] = {}
        if root is not None:
            self._read(root)

    def _read(self, root: Element) -> None:
        abstract = {each.get(f"{W}abstractNumId"): each for each in root.iter(f"{W}abstractNum")}
        linked = {value_of(each, "styleLink"): each for each in abstract.values()}
        for number in root.iter(f"{W}num"):
            found = abstract.get(value_of(number, "abstractNumId"))
            if found is None:
                continue
            found = linked.get(value_of(found, "numStyleLink") or "", found)
            levels = {whole_number(each.get(LEVEL)): level_of(each) for each in found.iterfind(f"{W}lvl")}
            starts = {}
            for each in number.iterfind(f"{W}lvlOverride"):
                place, own = whole_number(each.get(LEVEL)), each.find(f"{W}lvl")
                if own is not None:
                    levels[place] = level_of(own)
                if (start := value_of(each, "startOverride")) is not None:
                    starts[place] = whole_number(start)
            name = number.get(NUMBER_ID, "")
            self._lists[name], self._levels[name], self._starts[name] = found, levels, starts

    def level_of_style(self, number_id: str, style_id: str) -> int:
        """Return the level of a list that a style stands for; the outermost if it stands for none."""
        levels = self._levels.get(number_id, {})
        return next((place for place, level in levels.items() if style_id and level.style == style_id), 0)

    def marker(self, number_id: str, place: int) -> str | None:
        """Count an item; return its number, `BULLET`, nothing for a level without a sign, or None if it is in no list.

        Args:
            number_id: the list, as paragraphs and styles name it.
            place: the item's level, 0 for the outermost.
        """
        levels = self._levels.get(number_id)
        if levels is None or not 0 <= place < LEVELS:
            return None
        level = levels.get(place, Level())
        counts = self._counts.setdefault(self._lists[number_id], [None] * LEVELS)
        start = self._starts[number_id].pop(place, None)
        before = counts[place]
        counts[place] = start if start is not None else level.start if before is None else before + 1
        for deeper in range(place + 1, LEVELS):
            restart = levels.get(deeper, Level()).restart
            if restart is None or place < restart:
                counts[deeper] = None
        if level.form == "bullet":
            return BULLET if level.text.strip() else ""

        def number(match: re.Match[str]) -> str:
            other = int(match[1]) - 1
            shown = levels.get(other, Level())
            count = counts[other]
            return counter(shown.start if count is None else count, "decimal" if level.legal else shown.form)

        return PLACE.sub(number, level.text).strip()
