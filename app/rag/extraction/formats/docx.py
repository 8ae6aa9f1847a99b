"""DOCX: the text in the order of reading, headers and footers once, notes and comments after what they refer to."""

from __future__ import annotations

import re

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks, clean_title, single_line
from app.rag.extraction.errors import ExtractionError
from app.rag.extraction.format import Format, OfficePattern, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.office.drawing import alternative_text, signed, write_drawing
from app.rag.extraction.office.package import RELATIONSHIP_ID, Element, OfficePackage, Part, whole_number
from app.rag.extraction.office.word_numbering import BULLET, LEVEL, Numbering, W, value_of
from app.rag.extraction.office.word_styles import LIST, Style, Styles, heading_level, list_value
from app.rag.extraction.office.word_text import (
    COMMENT,
    ENDNOTE,
    FALLBACK,
    FOOTNOTE,
    PARAGRAPH,
    PICTURE,
    SKIPPED,
    TABLE,
    TEXT_BOX,
    TextWalk,
    own_rows,
    table_rows,
)
from app.rag.extraction.zip_guard import xml_failure

SECTION, SECTION_OF_PARAGRAPH = f"{W}sectPr", f"{W}pPr/{W}sectPr"
HEADER, FOOTER = f"{W}headerReference", f"{W}footerReference"
DELETED_MARK = f"{W}pPr/{W}rPr/{W}del"
CODE_STYLE = re.compile(r"code|preformatted|verbatim|listing")
MARKED_STYLES = ("list bullet", "list number")
"""Styles of items that have a sign even if the list itself is missing, unlike those that are only indented."""
CAPTIONS = {"caption", "table caption"}
PAGE_NUMBER = re.compile(r"\W{0,9}\d{0,9}\W{0,9}")


def read_docx(content: bytes, limits: Limits, _report: ReportProgress, _options: ReadOptions) -> TextBlocks:
    """Read a document or a template of Word, with macros or without, Transitional or Strict."""
    from lxml.etree import LxmlError

    try:
        package = OfficePackage(content, limits)
        reader = WordReader(package.main_part("word/document.xml"), limits)
        with reader.writer.until_stopped():
            reader.read_document()
        found = reader.writer.build(package.title())
    except LxmlError as error:
        raise ExtractionError(xml_failure(error)) from error
    first = next(iter(found.blocks[reader.headers :]), None)
    if found.title is None and first is not None and first.kind is BlockKind.HEADING:
        found.title = clean_title(found.text[first.start : first.end])
    return found


class WordReader:
    """Writes the blocks of a document, and of its headers, notes and text boxes."""

    def __init__(self, document: Part, limits: Limits) -> None:
        self.writer = BlockWriter(limits)
        self.headers = 0
        """Number of blocks of the first section's headers, which stand before the text."""
        self._document = self._part = document
        self._styles = Styles(root_of(document, "styles"))
        self._numbering = Numbering(root_of(document, "numbering"))
        self._footnotes, self._endnotes = root_of(document, "footnotes"), root_of(document, "endnotes")
        self._comments = by_id(root_of(document, "comments"))
        self._footnote_by_id = by_id(self._footnotes)
        sections = document.root.iter(SECTION)
        self._sections = iter([each for each in sections if each.getparent().tag != f"{W}sectPrChange"])
        self._section = next(self._sections, None)
        self._running: set[str] = set()
        """The texts of headers and footers that are written."""

    def read_document(self) -> None:
        """Write the text with its notes, and last the endnotes, and footnotes and comments that nothing refers to."""
        self._write_running(HEADER)
        self.headers = len(self.writer.blocks)
        self.read(self._document.root)
        self._write_running(FOOTER)
        self._footnote_by_id.clear()
        for notes in (self._footnotes, self._endnotes):
            if notes is not None:
                self.read(notes)
        for name in list(self._comments):
            self._write_comment(name)

    def read(self, root: Element) -> None:
        """Write the paragraphs and tables within an element, at any depth, as in content controls."""
        stack = list(reversed(root))
        while stack:
            element = stack.pop()
            if element.tag == PARAGRAPH:
                self._write_paragraph(element)
            elif element.tag == TABLE:
                self._write_table(element)
            elif element.tag not in SKIPPED and (element.tag != FALLBACK or element.getprevious() is None):
                stack.extend(reversed(element))

    def _write_paragraph(self, element: Element) -> None:
        walk, style = TextWalk(self._marker), self._styles.of(element)
        walk.read(element)
        text = walk.text.strip()
        marker = None if not text and element.find(DELETED_MARK) is not None else self._marker(element)
        level = heading_level(element)
        if level or (level is None and style.heading):
            number = f"{marker} " if text and marker and marker != BULLET else ""
            self.writer.add(BlockKind.HEADING, number + single_line(text), level=level or style.heading or 1)
        elif CODE_STYLE.search(style.name):
            self.writer.add(BlockKind.CODE, walk.text)
        elif marker is not None or style.name.startswith("list"):
            unlisted = BULLET if style.name.startswith(MARKED_STYLES) else ""
            self._write_item(text, unlisted if marker is None else marker, self._list_level(element, style))
        else:
            self.writer.add(BlockKind.PARAGRAPH, text, introduces=style.name in CAPTIONS)
        self._write_anchored(walk.anchored)
        if element.find(SECTION_OF_PARAGRAPH) is not None:
            self._write_running(FOOTER)
            self._section = next(self._sections, None)
            self._write_running(HEADER)

    def _write_item(self, text: str, marker: str, level: int) -> None:
        """Write an item of a list, its lines below each other."""
        indent, lines = "  " * level, [line.strip() for line in text.split("\n") if line.strip()]
        if lines:
            first = f"{marker} {lines[0]}".lstrip()
            self.writer.add(BlockKind.LIST, indent + f"\n{indent}  ".join([first, *lines[1:]]))

    def _marker(self, element: Element) -> str | None:
        """Count a paragraph in its list; return its number there, None if it is in none."""
        style, own = self._styles.of(element), element.find(LIST)
        number_id = None if own is None else value_of(own, "numId")
        if number_id is None:
            number_id = style.number_id
        return self._numbering.marker(number_id, self._list_level(element, style)) if number_id else None

    def _list_level(self, element: Element, style: Style) -> int:
        own = list_value(element, LEVEL)
        if own is not None:
            return whole_number(own)
        if style.level is not None:
            return style.level
        return self._numbering.level_of_style(style.number_id, style.style_id)

    def _write_table(self, element: Element) -> None:
        """Write a table row by row; one with a single column is layout, so its cells are written as text."""
        rows = own_rows(element)
        if all(len(cells) < 2 for cells in rows):
            for cell in (cell for cells in rows for cell in cells):
                self.read(cell)
            return
        walk = TextWalk(self._marker)
        self.writer.add_table(table_rows(element, walk))
        self._write_anchored(walk.anchored)

    def _write_anchored(self, anchored: list[Element]) -> None:
        """Write what a paragraph or a table leads to: text boxes, footnotes, comments, pictures and charts."""
        for each in anchored:
            if each.tag == TEXT_BOX:
                self.read(each)
            elif each.tag == FOOTNOTE:
                self._write_footnote(each.get(f"{W}id"))
            elif each.tag == COMMENT:
                self._write_comment(each.get(f"{W}id"))
            elif each.tag == PICTURE:
                self.writer.add(BlockKind.PARAGRAPH, alternative_text(each))
            elif each.tag != ENDNOTE:
                write_drawing(self.writer, self._part, each)

    def _write_footnote(self, name: str | None) -> None:
        """Write a footnote after the text that refers to it first, and take it from those that remain."""
        notes, self._footnote_by_id = self._footnote_by_id, {}  # Word has no footnotes within footnotes
        note = notes.pop(name, None)
        if note is not None:
            note.getparent().remove(note)
            self.read(note)
        self._footnote_by_id = notes

    def _write_comment(self, name: str | None) -> None:
        comment = self._comments.pop(name, None)
        if comment is not None:
            walk = TextWalk(self._marker)
            walk.read(comment)
            self.writer.add(BlockKind.PARAGRAPH, signed(comment.get(f"{W}author"), walk.text))

    def _write_running(self, reference: str) -> None:
        """Write the headers or the footers of the present section whose text does not stand yet."""
        for each in () if self._section is None else self._section.iterfind(reference):
            part = self._document.by_id(each.get(f"{RELATIONSHIP_ID}id"))
            if part is None:
                continue
            walk = TextWalk(lambda _: None)
            walk.read(part.root)
            texts = [walk.text, *("".join(box.itertext()) for box in walk.anchored)]
            text = single_line(" ".join(texts))
            if text not in self._running and not PAGE_NUMBER.fullmatch(text):
                self._running.add(text)
                self._part = part
                self.read(part.root)
                self._part = self._document


def root_of(part: Part, kind: str) -> Element | None:
    """Return the root of the first part that is related to another in a way; None if there is none."""
    return next((each.root for each in part.related(kind)), None)


def by_id(root: Element | None) -> dict[str | None, Element]:
    """Return the notes or comments below a root by their identifier."""
    return {} if root is None else {each.get(f"{W}id"): each for each in root}


FORMAT = Format(
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ("docx", "docm", "dotx", "dotm"),
    read_docx,
    libraries=("lxml.etree",),
    office=OfficePattern.of("word", "wordprocessingml|ms-word"),
)
