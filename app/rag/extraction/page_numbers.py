"""Printed page numbers: lines that are the number of a page and nothing else, in many languages and digits."""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from typing import NamedTuple

LINE_CHARACTERS = 40
"""Longer lines are no page numbers."""
DIGITS = 6
"""More digits are no page number."""

PAGES = (
    "page pg p pag pág pagina página seite s blatt blz bladzijde sida side sivu strona strana str oldal sayfa "
    "trang halaman hal stranica stranka stránka hoja folha feuille lehekülg lk lpp puslapis psl folio σελίδα σελ "
    "страница стр с лист сторінка صفحة الصفحة ص صفحه पृष्ठ पृ पेज หน้า עמוד"
)
PAGE_WORDS = frozenset(PAGES.split())
OF = "of von aus de del sur di van da do din av af z ze od dari από trên iš от из з من از का के की में से จาก מתוך"
OF_WORDS = frozenset(OF.split())
FILLERS = frozenset({"no", "nr", "num"})
"""Words between a word for a page and its number."""
CJK_PAGE = re.compile(r"页|頁|ページ|페이지|쪽|面|면")
CJK_WORDS = re.compile(r"(?:页|頁|ページ|페이지|쪽|面|면|第|共|中|之|的|全|总|總|計|计|目|の|중|총|의|전체|제)+")
COUNT_ONLY = re.compile(r"[共全总總計计총]|전체")
"""Marks a count of pages where the line has a single number."""
NUMBER = re.compile(r"\d+")
DECORATION = r"\s#\-\u2010-\u2015\u2212~\u00b7\u2022\u2219*\[\]()<>\u00ab\u00bb\u2039\u203a{}|/,.:;\u3001\u3002_="
SEPARATORS = re.compile(rf"[\d{DECORATION}]+")
DASHES = re.compile(r"[-\u2010-\u2015\u2212~\u00b7\u2022*_= ]+|[\[<\u00ab\u2039{|]\s*|\s*[\]>\u00bb\u203a}|]")
ROMAN = re.compile(r"(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})")
ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


class Form(Enum):
    """Look of a page number, which decides how much else has to speak for it."""

    BARE = "bare"
    FRAMED = "framed"
    """Between dashes or brackets, as `– 12 –`."""
    OF_TOTAL = "of total"
    """With the number of all pages and no word for them, as `12/40`."""
    NAMED = "named"
    """With a word for a page, as `Page 12`."""
    NAMED_OF_TOTAL = "named of total"


class PageNumber(NamedTuple):
    """A line that may be the number of a page."""

    value: int
    total: int | None
    form: Form


def parse_page_number(line: str) -> PageNumber | None:
    """Return the page number that a line may be; None if it has anything else in it."""
    if len(line) > LINE_CHARACTERS:
        return None
    text = unicodedata.normalize("NFKC", line).strip().casefold()
    words = [word for word in SEPARATORS.split(text) if word]
    numbers = NUMBER.findall(text)
    if not numbers:
        return roman_number(line.strip(), words)
    if len(numbers) > 2 or any(len(each) > DIGITS for each in numbers):
        return None
    named = False
    for word in words:
        cjk = CJK_WORDS.fullmatch(word)
        if cjk is None and word not in PAGE_WORDS | OF_WORDS | FILLERS:
            return None
        named = named or (CJK_PAGE.search(word) is not None if cjk else word in PAGE_WORDS)
    if len(numbers) == 1:
        return single_number(text, words, int(numbers[0]), named=named)
    return pair_of_numbers(text, words, numbers, named=named)


def single_number(text: str, words: list[str], value: int, *, named: bool) -> PageNumber | None:
    if named:
        return None if COUNT_ONLY.search(text) else PageNumber(value, None, Form.NAMED)
    if words:
        return None
    before, after = NUMBER.split(text)
    if not before and after in {"", "."}:
        return PageNumber(value, None, Form.BARE)
    if before.strip() and after.strip() and all(map(DASHES.fullmatch, (before, after))):
        return PageNumber(value, None, Form.FRAMED)
    return PageNumber(value, None, Form.BARE) if (before.strip(), after.strip()) == ("(", ")") else None


def pair_of_numbers(text: str, words: list[str], numbers: list[str], *, named: bool) -> PageNumber | None:
    """Return the number and the total, in either order; `Page 3-12` is page 12 of chapter 3."""
    between = NUMBER.split(text)[1].strip()
    first, second = map(int, numbers)
    if named and between in {"-", "\u2013", "."}:
        return PageNumber(second, None, Form.NAMED)
    if named and between not in {",", ":"}:
        return PageNumber(min(first, second), max(first, second), Form.NAMED_OF_TOTAL)
    plain = not words and re.fullmatch(r"\d+\s*/\s*\d+", text)
    if first > second or numbers[0].startswith("0") or not (plain or between in OF_WORDS):
        return None
    return PageNumber(first, second, Form.OF_TOTAL)


def roman_number(line: str, words: list[str]) -> PageNumber | None:
    """Return the page number of a line in small Roman numerals; capitals number chapters as often as pages."""
    romans = [word for word in words if ROMAN.fullmatch(word) and word in line]
    others = [word for word in words if word not in romans]
    if len(romans) != 1 or any(word not in PAGE_WORDS for word in others):
        return None
    values = [ROMAN_VALUES[letter] for letter in romans[0]]
    value = sum(-each if each < following else each for each, following in zip(values, [*values[1:], 0], strict=True))
    return PageNumber(value, None, Form.NAMED if others else Form.BARE)
