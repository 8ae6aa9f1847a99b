"""The text of a Word paragraph or cell, as a reader sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.rag.extraction.blocks import single_line
from app.rag.extraction.office.drawing import CHARTS, DIAGRAM, A, filled_row
from app.rag.extraction.office.math import FORMULA, M, math_text
from app.rag.extraction.office.package import Element, is_on, whole_number
from app.rag.extraction.office.symbols import symbol, symbol_text
from app.rag.extraction.office.word_numbering import BULLET, VALUE, W

PARAGRAPH, TABLE, ROW, CELL, RUN = f"{W}p", f"{W}tbl", f"{W}tr", f"{W}tc", f"{W}r"
TEXT, SYMBOL, FIELD = f"{W}t", f"{W}sym", f"{W}fldChar"
DRAWN_TEXT, DRAWN_PARAGRAPH, DRAWN_BREAK = f"{A}t", f"{A}p", f"{A}br"
HIDDEN, FONT = f"{W}rPr/{W}vanish", f"{W}rPr/{W}rFonts"
CHARACTERS = {
    f"{W}tab": "\t",
    f"{W}ptab": "\t",
    f"{W}br": "\n",
    f"{W}cr": "\n",
    f"{W}noBreakHyphen": "-",
    DRAWN_BREAK: "\n",
}
TEXT_BOX, COMMENT = f"{W}txbxContent", f"{W}commentReference"
FOOTNOTE, ENDNOTE = f"{W}footnoteReference", f"{W}endnoteReference"
PICTURE = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}docPr"
ANCHORS = {TEXT_BOX, COMMENT, FOOTNOTE, ENDNOTE, PICTURE, DIAGRAM, *CHARTS}
"""Elements within a paragraph that lead to blocks of their own."""
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
SKIPPED = {
    *(f"{W}{name}" for name in ("del", "moveFrom", "pPr", "rPr", "sdtPr", "sdtEndPr", "tblPr", "tblGrid", "rt")),
    *(f"{W}{name}" for name in ("sectPr", "ffData", "instrText", "delText")),
    f"{M}oMathParaPr",
}
"""Deleted and moved text, properties, readings of Japanese characters and what fields compute."""
CHECKED = {True: "☒", False: "☐"}


class TextWalk:
    """Collects the text of a paragraph or a cell, and the elements that lead to blocks after it."""

    def __init__(self, marker_of: Callable[[Element], str | None]) -> None:
        self._marker_of = marker_of
        self._parts: list[str] = []
        self._fields: list[bool] = []
        """Fields that are open, from the outermost on; True where the result has begun."""
        self.anchored: list[Element] = []

    @property
    def text(self) -> str:
        return "".join(self._parts).replace("\xad", "").strip("\n")

    def read(self, root: Element) -> None:
        """Add the text within an element; a field that does not end in its paragraph ends with it."""
        stack = list(reversed(root))
        while stack:
            element = stack.pop()
            tag = element.tag
            if tag in SKIPPED or (tag == FALLBACK and element.getprevious() is not None):
                continue
            if tag in ANCHORS:
                self.anchored.append(element)
            elif tag == FIELD:
                self._read_field(element)
            elif tag == RUN:
                if not is_on(element.find(HIDDEN), VALUE):
                    stack.extend(reversed(element))
            elif not self._read_text(element, tag):
                if tag in {PARAGRAPH, DRAWN_PARAGRAPH}:
                    self._begin_paragraph(element, tag)
                stack.extend(reversed(element))

    def _read_text(self, element: Element, tag: str) -> bool:
        """Add the text that an element stands for; return False if it is that of the elements within it."""
        if tag in {TEXT, DRAWN_TEXT}:
            text = element.text or ""
            font = None if text.isascii() else element.getparent().find(FONT)
            self._add(text, "" if font is None else font.get(f"{W}ascii", ""))
        elif tag in CHARACTERS:
            self._add(CHARACTERS[tag])
        elif tag == SYMBOL:
            code = element.get(f"{W}char", "")
            self._add(symbol(int(code, 16), element.get(f"{W}font", "")) if is_character(code) else "")
        elif tag == FORMULA:
            self._add(math_text(element))
        elif tag == TABLE:
            self._add("\n" + "; ".join(map(nested_row, table_rows(element, self))) + "\n")
        else:
            return False
        return True

    def _add(self, text: str, font: str = "") -> None:
        if all(self._fields):
            self._parts.append(symbol_text(text, font))

    def _begin_paragraph(self, element: Element, tag: str) -> None:
        self._fields.clear()
        marker = self._marker_of(element) if tag == PARAGRAPH else None
        self._parts.append("\n" if self._parts else "")
        if marker and marker != BULLET:
            self._parts.append(f"{marker} ")

    def _read_field(self, element: Element) -> None:
        kind = element.get(f"{W}fldCharType")
        if kind == "begin":
            self._add(form_value(element.find(f"{W}ffData")))
            self._fields.append(False)
        elif kind == "separate" and self._fields:
            self._fields[-1] = True
        elif kind == "end" and self._fields:
            self._fields.pop()

    def cell_text(self, cell: Element) -> str:
        """Return the text of a cell, its paragraphs on lines of their own; what leads to blocks is added to this."""
        walk = TextWalk(self._marker_of)
        walk.read(cell)
        self.anchored.extend(walk.anchored)
        return walk.text


def form_value(data: Element | None) -> str:
    """Return the state of a check box, or the choice in a list, of a form; empty for others, whose text follows."""
    if data is None:
        return ""
    box, choice = data.find(f"{W}checkBox"), data.find(f"{W}ddList")
    if box is not None:
        checked = box.find(f"{W}checked")
        return CHECKED[is_on(box.find(f"{W}default") if checked is None else checked, VALUE)]
    if choice is None:
        return ""
    entries = [each.get(VALUE, "") for each in choice.iterfind(f"{W}listEntry")]
    chosen = choice.find(f"{W}result")
    place = whole_number((choice.find(f"{W}default") if chosen is None else chosen).get(VALUE)) if entries else 0
    return entries[place] if 0 <= place < len(entries) else ""


def nested_row(cells: list[str]) -> str:
    """Return a row of a table within a cell."""
    return ", ".join(filter(None, map(single_line, cells)))


def is_character(code: str) -> bool:
    """Return whether a hexadecimal number is that of a character in Unicode's first plane."""
    return 0 < len(code) <= 4 and all(each in "0123456789abcdefABCDEF" for each in code)


def own_rows(table: Element) -> list[list[Element]]:
    """Return the cells of each row of a table, without deleted ones and those of the tables within it."""
    rows = (each for each in table.iter(ROW) if next(each.iterancestors(TABLE)) is table)
    kept = (row for row in rows if row.find(f"{W}trPr/{W}del") is None)
    return [[cell for cell in row.iter(CELL) if next(cell.iterancestors(ROW)) is row] for row in kept]


def table_rows(table: Element, walk: TextWalk) -> Iterator[list[str]]:
    """Yield the texts of a table's rows, by column unless most of them have cells over several, as forms do."""
    above: dict[int, str] = {}
    rows = [[(cell, *merging(cell)) for cell in cells] for cells in own_rows(table)]
    columns = 2 * sum(any(span > 1 for _, span, _ in cells) for cells in rows) <= len(rows)
    for cells in rows:
        before = cells[0][0].getparent().find(f"{W}trPr/{W}gridBefore") if cells and columns else None
        omitted = [] if before is None else [("", whole_number(before.get(VALUE)), False)]
        texts = [(walk.cell_text(cell), span, continues) for cell, span, continues in cells]
        yield filled_row([*omitted, *texts], above, columns=columns)


def merging(cell: Element) -> tuple[int, bool]:
    """Return the number of columns that a cell is over, and whether it continues the cell above."""
    properties = cell.find(f"{W}tcPr")
    if properties is None:
        return 1, False
    span, merged = properties.find(f"{W}gridSpan"), properties.find(f"{W}vMerge")
    continues = merged is not None and merged.get(VALUE, "continue") == "continue"
    return 1 if span is None else whole_number(span.get(VALUE), 1), continues
