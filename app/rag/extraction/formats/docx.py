"""Word documents: paragraphs and tables in order, and the notes below them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from lxml.etree import LxmlError

from app.rag.extraction.blocks import BlockWriter, Kind, TextBlocks, folded
from app.rag.extraction.errors import CORRUPT, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.zip_guard import checked, failure_of

Element: TypeAlias = Any
"""An element of lxml's tree, which has no types."""

PARAGRAPH, TABLE, ROW, CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
TEXT, TAB, LINE, CARRIAGE, HYPHEN = qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:cr"), qn("w:noBreakHyphen")
CHARACTERS = {TAB: "\t", LINE: "\n", CARRIAGE: "\n", HYPHEN: "-"}
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
UNREAD = {qn("w:del"), qn("w:moveFrom"), qn("w:pPr"), qn("w:rPr"), FALLBACK}
"""What was deleted or moved away, what stands in for something newer, and how things look."""
LEVEL = re.compile(r"heading\s*([1-9])", re.IGNORECASE)
CODE = re.compile(r"code|preformatted|verbatim|listing", re.IGNORECASE)


def read_docx(content: bytes, limits: Limits) -> TextBlocks:
    """The draft of a Word document."""
    file = checked(content, limits)
    try:
        document = docx.Document(file)
        reader = Body(document, limits)
        reader.read(document.element.body)
        for notes in notes_of(document):
            reader.read(notes)
        return reader.writer.draft(document.core_properties.title)
    except LxmlError as error:
        raise ExtractionError(failure_of(error)) from error
    except (PackageNotFoundError, KeyError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise ExtractionError(CORRUPT) from error  # python-docx trusts a package's parts to be what they should


def notes_of(document: Any) -> Iterator[Element]:
    """The roots of foot notes and end notes, each once however many relations lead to it."""
    kinds = {RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES}
    relations = [each for each in document.part.rels.values() if each.reltype in kinds and not each.is_external]
    for part in {each.target_part.partname: each.target_part for each in relations}.values():
        yield parse_xml(part.blob)


class Body:
    """Writes what stands in a body, a part of one, or a list of notes."""

    def __init__(self, document: Any, limits: Limits) -> None:
        self.writer = BlockWriter(limits)
        self._styles = {style.style_id: str(style.name or "") for style in document.styles}

    def read(self, root: Element) -> None:
        """Writes the paragraphs and tables within, those in content controls and the like included."""
        waiting = [root]
        while waiting:
            element = waiting.pop()
            if element.tag == PARAGRAPH:
                self._paragraph(element)
            elif element.tag == TABLE:
                self._table(element)
            elif element.tag not in UNREAD:
                waiting.extend(reversed(element))

    def _paragraph(self, element: Element) -> None:
        text, style = text_of(element), self._style(element)
        level = LEVEL.match(style)
        if level or style.lower() == "title":
            self.writer.add(Kind.HEADING, folded(text), level=int(level[1]) if level else 1)
        elif CODE.search(style):
            self.writer.add(Kind.CODE, text)
        elif style.lower().startswith("list") or element.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None:
            self.writer.add(Kind.LIST, f"- {folded(text)}" if text.strip() else "")
        else:
            self.writer.add(Kind.PARAGRAPH, text.strip(), leads=style.lower() in {"caption", "table caption"})

    def _style(self, element: Element) -> str:
        """The name of a paragraph's style; styles are named in English whatever language Word speaks."""
        style = element.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
        return "" if style is None else self._styles.get(style.get(qn("w:val")), "")

    def _table(self, element: Element) -> None:
        """A table, row by row; one of a single column only frames what is in it."""
        rows = [list(each.iter(CELL)) for each in element.iter(ROW) if next(each.iterancestors(TABLE)) is element]
        rows = [[cell for cell in cells if next(cell.iterancestors(TABLE)) is element] for cells in rows]
        if all(len(cells) < 2 for cells in rows):
            for cell in (cell for cells in rows for cell in cells):
                self.read(cell)
            return
        self.writer.add_table([text_of(cell) for cell in cells] for cells in rows)


def text_of(element: Element) -> str:
    """All text within, paragraphs in it apart."""
    parts: list[str] = []
    waiting = [element]
    while waiting:
        here = waiting.pop()
        if here.tag == TEXT:
            parts.append(here.text or "")
        elif here.tag in CHARACTERS:
            parts.append(CHARACTERS[here.tag])
        elif here.tag not in UNREAD:
            if here.tag == PARAGRAPH and parts:
                parts.append("\n")
            waiting.extend(reversed(here))
    return "".join(parts)
