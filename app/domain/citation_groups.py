"""Grammar of brackets that may be citation marks: `[1]`, `[1, 2-4]`, `【1†source】`, `[^1]`, `[passage 1]` and such."""

from __future__ import annotations

import functools
from typing import NamedTuple

import regex

from app.domain.citation_words import ATTACHED, CONJUNCTIONS, LABELS, PAGE_LABELS, RANGE_WORDS, SEE, any_of

OPENINGS = "[【［"
GROUP_CHARACTERS = 120
"""Maximum characters of a bracket that is a mark."""
MAX_DIGITS = 3
"""Digits of a passage's number; years and other longer numbers are none."""
MAX_RANGE = 30
"""Numbers that `[1-30]` may stand for; a wider range is no mark."""


SPACE = "[ \t\u00a0\u2009\u202f\u3000]{0,2}"
GAP = "[ \t\u00a0\u2009\u202f\u3000]{1,2}"
DASH = "[-\u2010-\u2015\u2212\u301c\uff0d\uff5e~～至到]"
LABEL = f"(?:{any_of(LABELS)})"
PREFIX = (
    rf"(?:(?:{any_of(SEE)}){SPACE}:?{SPACE})?"
    rf"(?:{LABEL}(?:{SPACE}(?:[:：#№._-]|no\.?|nr\.?|n[°º]|id)){{0,2}}{SPACE}){{0,2}}"
)
NUMBER = rf"{PREFIX}\^?\d{{1,20}}"
RANGE = rf"{SPACE}(?:{DASH}|{GAP}(?:{any_of(RANGE_WORDS)}){GAP}){SPACE}"
ITEM = rf"(?P<item>{NUMBER}(?:{RANGE}\^?\d{{1,20}})?)"
SOURCE = r"(?:(?::\d{1,4})?†[^\[\]【】［］\n]{0,80})?"
"""The source that OpenAI's models write behind a number: `†source`, `:0†report.pdf`, `†L3-L9`."""
CONJUNCTION = rf"(?:{GAP}(?:{any_of(CONJUNCTIONS)}){GAP}|{SPACE}[{ATTACHED}]{SPACE})"
SEPARATOR = rf"(?:{SPACE}[,;、，；،؛・]{SPACE}(?:(?:and|und|et|y|e|и|و){SPACE})?|{CONJUNCTION})"
PAGES = rf"(?:{SPACE},{SPACE}(?:{any_of(PAGE_LABELS)}){SPACE}\.?{SPACE}\d{{1,4}}(?:{DASH}\d{{1,4}})?)?"
LIST = rf"{ITEM}{SOURCE}(?:{SEPARATOR}{ITEM}{SOURCE})*{PAGES}"
OPEN, CLOSE = r"[\[［【]", r"[\]］】]"
NESTED = rf"{OPEN}{SPACE}{LIST}{SPACE}{CLOSE}"
GROUP = (
    rf"{OPEN}{SPACE}(?:{LIST}|(?:{LIST}{SPACE}|{PREFIX})?{NESTED}(?:(?:{SEPARATOR}|{SPACE})(?:{NESTED}|{LIST}))*)"
    rf"{SPACE}{CLOSE}"
)
SINGLE = regex.compile(r"\[([1-9][0-9]{0,2})\]")
PLAIN = regex.compile(r"\[[\d \t,;\[\]-]*\]")
MATRIX = regex.compile(r"\[[ \t]*\[[^\]]*,")


@functools.cache
def group_pattern() -> regex.Pattern[str]:
    """Return the compiled grammar; the first call takes some 0.3 s, which not every process needs."""
    return regex.compile(GROUP, regex.IGNORECASE | regex.VERSION1)


class Group(NamedTuple):
    """A bracket with numbers."""

    text: str
    numbers: tuple[int, ...]
    """Each number once, in the order given; empty where they can be no passages."""

    @property
    def is_plain(self) -> bool:
        """True where code could have the same bracket: digits and separators alone."""
        return PLAIN.fullmatch(self.text) is not None

    @property
    def is_list(self) -> bool:
        """True where a vector could be written like this."""
        return self.is_plain and "," in self.text

    @property
    def is_footnote(self) -> bool:
        return self.text.startswith("[^")


def match_group(text: str, position: int) -> Group | None:
    """Return the bracket that begins at a position; None where its content is no list of numbers.

    Raises:
        IncompleteGroup: The text ends in what may become one.
    """
    if single := SINGLE.match(text, position):  # the usual form is read without the whole grammar
        return Group(single[0], (int(single[1]),))
    found = group_pattern().match(text, position, position + GROUP_CHARACTERS, partial=True)
    if found is None:
        return None
    if found.partial:
        raise IncompleteGroup
    group = found.group()
    return Group(group, () if MATRIX.match(group) else numbers_of(found.captures("item")))


class IncompleteGroup(Exception):
    """The text ends within a bracket that may become a mark."""


def numbers_of(items: list[str]) -> tuple[int, ...]:
    """Return the numbers of the items of a list, each once; none where one of them can be no passage's number."""
    numbers: dict[int, None] = {}
    for item in items:
        ends = regex.findall(r"\d+", item)
        first, last = int(ends[0]), int(ends[-1])
        if any(len(each) > MAX_DIGITS for each in ends) or not first <= last < first + MAX_RANGE:
            return ()
        if any(len(str(int(each))) < len(each) for each in ends):  # a leading zero
            first = last = 0
        numbers.update(dict.fromkeys(range(first, last + 1)))
    return () if 0 in numbers and len(numbers) > 1 else tuple(numbers)
