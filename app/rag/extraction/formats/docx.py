"""DOCX: paragraphs, lists and tables in order, then foot notes and end notes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks, single_line
from app.rag.extraction.errors import CORRUPT, ExtractionError
from app.rag.extraction.format import Format, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.zip_guard import open_checked, xml_failure

Element: TypeAlias = Any
"""An element of lxml's tree, which has no types."""

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
PARAGRAPH, TABLE, ROW, CELL, TEXT = f"{W}p", f"{W}tbl", f"{W}tr", f"{W}tc", f"{W}t"
STYLE, LIST_NUMBER, VALUE = f"{W}pPr/{W}pStyle", f"{W}pPr/{W}numPr", f"{W}val"
CHARACTERS = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
SKIPPED = {f"{W}del", f"{W}moveFrom", f"{W}pPr", f"{W}rPr", FALLBACK}
"""Deleted and moved text, properties of paragraphs and runs, and substitutes for newer elements."""
HEADING_STYLE = re.compile(r"heading\s*([1-9])", re.IGNORECASE)
CODE_STYLE = re.compile(r"code|preformatted|verbatim|listing", re.IGNORECASE)


def read_docx(content: bytes, limits: Limits, _report: ReportProgress) -> TextBlocks:
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from lxml.etree import LxmlError

    file = open_checked(content, limits)
    try:
        document = docx.Document(file)
        reader = BodyReader(document, limits)
        reader.read(document.element.body)
        for notes in notes_of(document):
            reader.read(notes)
        return reader.writer.build(document.core_properties.title)
    except LxmlError as error:
        raise ExtractionError(xml_failure(error)) from error
    except (PackageNotFoundError, KeyError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise ExtractionError(CORRUPT) from error  # python-docx trusts a package's parts to be of the right type


def notes_of(document: Any) -> Iterator[Element]:
    """Yield the roots of foot notes and end notes, each once however many relationships lead to it."""
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.oxml import parse_xml

    kinds = {RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES}
    relationships = [each for each in document.part.rels.values() if each.reltype in kinds and not each.is_external]
    for part in {each.target_part.partname: each.target_part for each in relationships}.values():
        yield parse_xml(part.blob)


class BodyReader:
    """Writes the blocks of a body, of a table's cell or of notes."""

    def __init__(self, document: Any, limits: Limits) -> None:
        self.writer = BlockWriter(limits)
        self._styles = {style.style_id: str(style.name or "") for style in document.styles}

    def read(self, root: Element) -> None:
        """Write the paragraphs and tables within an element, at any depth, as in content controls."""
        stack = [root]
        while stack:
            element = stack.pop()
            if element.tag == PARAGRAPH:
                self._write_paragraph(element)
            elif element.tag == TABLE:
                self._write_table(element)
            elif element.tag not in SKIPPED:
                stack.extend(reversed(element))

    def _write_paragraph(self, element: Element) -> None:
        text, style = text_of(element), self._style_name(element)
        level = HEADING_STYLE.match(style)
        if level or style.lower() == "title":
            self.writer.add(BlockKind.HEADING, single_line(text), level=int(level[1]) if level else 1)
        elif CODE_STYLE.search(style):
            self.writer.add(BlockKind.CODE, text)
        elif style.lower().startswith("list") or element.find(LIST_NUMBER) is not None:
            self.writer.add(BlockKind.LIST, f"- {single_line(text)}" if text.strip() else "")
        else:
            introduces = style.lower() in {"caption", "table caption"}
            self.writer.add(BlockKind.PARAGRAPH, text.strip(), introduces=introduces)

    def _style_name(self, element: Element) -> str:
        """Return the name of a paragraph's style, in English whatever Word's language; empty if it has none."""
        style = element.find(STYLE)
        return "" if style is None else self._styles.get(style.get(VALUE), "")

    def _write_table(self, element: Element) -> None:
        """Write a table row by row; one with a single column is layout, so its cells are written as text."""
        rows = [list(each.iter(CELL)) for each in element.iter(ROW) if next(each.iterancestors(TABLE)) is element]
        rows = [[cell for cell in cells if next(cell.iterancestors(TABLE)) is element] for cells in rows]
        if all(len(cells) < 2 for cells in rows):
            for cell in (cell for cells in rows for cell in cells):
                self.read(cell)
            return
        self.writer.add_table([text_of(cell) for cell in cells] for cells in rows)


def text_of(element: Element) -> str:
    """Return all text within an element, its paragraphs on lines of their own."""
    parts: list[str] = []
    stack = [element]
    while stack:
        here = stack.pop()
        if here.tag == TEXT:
            parts.append(here.text or "")
        elif here.tag in CHARACTERS:
            parts.append(CHARACTERS[here.tag])
        elif here.tag not in SKIPPED:
            if here.tag == PARAGRAPH and parts:
                parts.append("\n")
            stack.extend(reversed(here))
    return "".join(parts)


FORMAT = Format(
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ("docx",),
    read_docx,
    libraries=("docx",),
    office_folder="word",
)
