"""Headers, footers and page numbers of printed pages: what goes, and what only resembles them and stays."""

from collections.abc import Sequence

import pytest

from app.rag.extraction.page_edges import kept_lines
from app.rag.extraction.page_line import Line
from app.rag.extraction.page_numbers import parse_page_number

BODY = ["oak", "elm", "ash", "fir", "yew", "box", "bay", "fig", "nut", "tea", "rye", "oat"]


def kept(pages: Sequence[Sequence[str]], size: float = 12.0) -> list[list[str]]:
    """Return the lines of pages that are kept, for lines from the top down in one letter size."""
    lines = [[Line(text, size, 800.0 - 15 * place) for place, text in enumerate(page)] for page in pages]
    found = kept_lines(lines, {20.0})
    return [[page[index] for index in each.indices] for page, each in zip(pages, found, strict=True)]


def numbered(template: str, first: int = 1, count: int = 6) -> list[list[str]]:
    """Return pages with a body of two lines and a line below them with a number that counts the pages."""
    return [
        [f"The {BODY[n]} stands", f"by the {BODY[-1 - n]}.", template.format(first + n, total=first + count - 1)]
        for n in range(count)
    ]


PAGE_NUMBERS = [
    "{}",
    "{}.",
    "– {} –",
    "- {} -",
    "— {} —",
    "[{}]",
    "({})",
    "· {} ·",
    "{}/{total}",
    "{} / {total}",
    "{} of {total}",
    "Page {}",
    "PAGE {}",
    "page {}",
    "p. {}",
    "Pg. {}",
    "Page {} of {total}",
    "Page {}/{total}",
    "Page | {}",
    "– Page {} of {total} –",
    "Seite {}",
    "Page No. {}",
    "Stranica {} od {total}",
    "Halaman {} dari {total}",
    "Hoja {}",
    "Seite {} von {total}",
    "- Seite {} -",
    "S. {}",
    "Blatt {} von {total}",
    "Página {} de {total}",
    "Pág. {}",
    "Page {} sur {total}",
    "Pagina {} di {total}",
    "Pag. {}",
    "Pagina {} van {total}",
    "blz. {}",
    "第 {} 页 共 {total} 页",
    "第{}页，共{total}页",
    "第{}頁",
    "{}ページ",
    "{} / {total} ページ",
    "{total}ページ中{}ページ",
    "صفحة {} من {total}",
    "صفحة {}",
    "Стр. {} из {total}",
    "Страница {}",
    "с. {}",
    "पृष्ठ {}",
    "पृष्ठ {} का {total}",
    "{} 페이지",
    "{}쪽",
    "{total}페이지 중 {}페이지",
    "Strona {} z {total}",
    "Sida {} av {total}",
    "Sayfa {}",
]


@pytest.mark.parametrize("template", PAGE_NUMBERS)
def test_page_numbers_go(template):
    """A line that is the number of its page and nothing else is left out, in any language, at the top or bottom."""
    pages = numbered(template)
    assert kept(pages) == [page[:2] for page in pages]
    assert kept([[page[2], *page[:2]] for page in pages]) == [page[:2] for page in pages]


@pytest.mark.parametrize("digits", ["٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５６７８９", "۰۱۲۳۴۵۶۷۸۹"])
def test_page_numbers_in_other_digits(digits):
    """Page numbers in Arabic, Indian and full-width digits are left out."""
    pages = [[text.translate({48 + n: digits[n] for n in range(10)}) for text in page] for page in numbered("{}")]
    assert kept(pages) == [page[:2] for page in pages]


def test_roman_page_numbers():
    """Small Roman numerals that count the pages are left out; capitals, as of chapters, stay."""
    romans = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"]
    pages = [[f"The {BODY[n]} stands", f"by {BODY[-1 - n]}.", roman] for n, roman in enumerate(romans)]
    assert kept(pages) == [page[:2] for page in pages]
    capitals = [[*page[:2], page[2].upper()] for page in pages]
    assert kept(capitals) == capitals


@pytest.mark.parametrize(
    ("first", "count", "template"),
    [(45, 6, "{}"), (1234, 6, "– {} –"), (1234, 6, "Page {}"), (12, 4, "Page {} of 40"), (-1, 8, "{}"), (1, 2, "{}")],
)
def test_page_numbers_of_a_part(first, count, template):
    """The pages of an extract, with numbers that do not begin at 1, lose them too."""
    pages = numbered(template, first, count)
    numbers = [parse_page_number(page[2]) for page in pages]
    expected = [page[:2] if number else page for page, number in zip(pages, numbers, strict=True)]
    assert kept(pages) == expected


STAYING = {
    "invoices": [f"Invoice 2024-{n:04}" for n in range(17, 23)],
    "years": [str(n) for n in range(2001, 2007)],
    "invoice numbers": [str(n) for n in range(1001, 1007)],
    "totals": ["1200", "310", "88", "1200", "97", "4020"],
    "equal totals": ["1200"] * 6,
    "small counts": ["3", "5", "4", "6", "5", "9"],
    "negative": ["-1", "-2", "-3", "-4", "-5", "-6"],
    "amounts": [f"EUR {n},00" for n in range(1, 7)],
    "percentages": [f"{n} %" for n in range(1, 7)],
    "months": [f"{n:02}/24" for n in range(1, 7)],
    "months without zeros": [f"{n}/2024" for n in range(1, 7)],
    "dates": [f"{n} May 2024" for n in range(1, 7)],
    "decimals": [f"{n}.5" for n in range(1, 7)],
    "chapters": [f"Chapter {n}" for n in range(1, 7)],
    "sections": [f"§ {n}" for n in range(1, 7)],
    "reports": [f"Annual report 2023 {n}" for n in range(1, 7)],
    "references": [f"See page {n} of the manual" for n in range(1, 7)],
    "page counts": [f"{n} pages" for n in range(1, 7)],
    "rooms": [f"Room {n}" for n in range(1, 7)],
    "versions": [f"v{n}" for n in range(1, 7)],
    "ranges": [f"{n}-{n + 4}" for n in range(1, 7)],
    "Chinese items": [f"第{n}章" for n in range(1, 7)],
}


@pytest.mark.parametrize("kind", STAYING)
def test_similar_lines_stay(kind):
    """Lines at page edges that differ in numbers, and are not the numbers of their pages, stay."""
    below = [[f"The {BODY[n]} stands", "by the gate.", text] for n, text in enumerate(STAYING[kind])]
    above = [[text, "The gate", f"by the {BODY[n]}."] for n, text in enumerate(STAYING[kind])]
    assert kept(below) == below
    assert kept(above) == above


def test_repeated_lines_are_kept_once():
    """Headers and footers that are identical on pages are kept where they first stand."""
    pages = [["ACME Ltd", "Confidential", f"The {BODY[n]}.", f"Page {n + 1}", "Berlin"] for n in range(5)]
    assert kept(pages) == [["ACME Ltd", "Confidential", "The oak.", "Berlin"]] + [[page[2]] for page in pages[1:]]


def test_headers_of_alternating_pages():
    """Left and right pages may have headers of their own, and chapters too."""
    pages = [[("Pumps" if n % 2 else f"Part {n // 6}"), f"The {BODY[n]}.", f"and {BODY[-1 - n]}."] for n in range(12)]
    made = [page for page in kept(pages) if len(page) == 3]
    assert [page[0] for page in made] == ["Part 0", "Pumps", "Part 1"]


@pytest.mark.parametrize("text", ["Yes", "Total", "The same"])
def test_lines_that_return_now_and_then_stay(text):
    """A line that stands at the edge of some pages far apart is no header."""
    pages = [[f"The {BODY[n % 12]} {n}", "stands", text if n % 5 == 0 else f"by {n} gates."] for n in range(30)]
    assert kept(pages) == pages


def test_only_line_stays():
    """A page never loses its only line, whether it is a header or a number, and counts as one without text."""
    pages = [["ACME Ltd", f"The {BODY[n]}.", str(n + 1)] for n in range(6)]
    pages[2], pages[4] = ["ACME Ltd"], ["5"]
    lines = [[Line(text, 12.0, 800.0 - 15 * place) for place, text in enumerate(page)] for page in pages]
    found = kept_lines(lines, ())
    assert [len(each.indices) for each in found] == [2, 1, 1, 1, 1, 1]
    assert [each.own for each in found] == [True, True, False, True, False, True]


def test_large_numbers_are_headings():
    """A number in the letters of a heading is not taken for a page number."""
    pages = [[str(n + 1), f"The {BODY[n]} stands", f"by {BODY[-1 - n]}."] for n in range(6)]
    assert kept(pages, 20.0) == pages
    assert kept(pages) == [page[1:] for page in pages]


def test_order_of_printing_is_no_matter():
    """The edges of a page are those that are seen, wherever its lines stand in the file."""
    lines = [[Line(f"{n + 1}", 12, 20), Line(f"The {BODY[n]}", 12, 700), Line("ACME", 12, 800)] for n in range(5)]
    assert [len(each.indices) for each in kept_lines(lines, ())] == [2, 1, 1, 1, 1]
