"""PPTX: a slide is a page, its title a heading; its notes and comments follow it."""

from __future__ import annotations

from collections.abc import Iterator

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks, single_line
from app.rag.extraction.errors import TOO_MANY_PAGES, ExtractionError
from app.rag.extraction.format import Format, OfficePattern, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.office.drawing import CHARTS, DIAGRAM, A, alternative_text, filled_row, signed, write_drawing
from app.rag.extraction.office.package import OFFICE, RELATIONSHIP_ID, Element, OfficePackage, Part
from app.rag.extraction.office.slide_text import frame_lines, frame_text
from app.rag.extraction.zip_guard import xml_failure

P = f"{{{OFFICE}/presentationml/2006/main}}"
SLIDE_ID, TREE, PLACEHOLDER = f"{P}sldIdLst/{P}sldId", f"{P}cSld/{P}spTree", f"{P}nvSpPr/{P}nvPr/{P}ph"
SHAPE, PICTURE, TABLE, FRAME = f"{P}sp", f"{P}pic", f"{A}tbl", f"{P}txBody"
PICTURE_PROPERTIES = f"{P}nvPicPr/{P}cNvPr"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
GENERIC_TITLE_WORDS = 3
TITLES, RUNNING, NO_TEXT = {"title", "ctrTitle"}, {"ftr", "dt", "hdr"}, {"sldNum", "sldImg"}
"""Kinds of placeholders: titles, those that say the same on each slide, and those without text of their own."""


def read_pptx(content: bytes, limits: Limits, report: ReportProgress, _options: ReadOptions) -> TextBlocks:
    """Read a presentation, a slide show or a template, with macros or without, Transitional or Strict."""
    from lxml.etree import LxmlError

    try:
        package = OfficePackage(content, limits)
        reader = SlideReader(package.main_part("ppt/presentation.xml"), limits)
        with reader.writer.until_stopped():
            reader.read_slides(report)
        found = reader.writer.build(own_title(package.title()))
    except LxmlError as error:
        raise ExtractionError(xml_failure(error)) from error
    found.page_count, found.textless_pages = reader.total, reader.textless
    return found


def own_title(title: str | None) -> str | None:
    """Return a title unless PowerPoint made it, which names itself and the kind of file in the author's language."""
    made = title is not None and "powerpoint" in title.lower() and len(title.split()) <= GENERIC_TITLE_WORDS
    return None if made else title


class SlideReader:
    """Writes the blocks of a presentation, slide by slide."""

    def __init__(self, presentation: Part, limits: Limits) -> None:
        self.writer = BlockWriter(limits)
        self.textless: list[int] = []
        identifiers = [each.get(f"{RELATIONSHIP_ID}id") for each in presentation.root.iterfind(SLIDE_ID)]
        self.total = len(identifiers)
        self._limits = limits
        self._slides = [presentation.by_id(each) for each in identifiers[: limits.pages]]
        self._authors = authors_of(presentation)
        self._running: set[str] = set()
        """Written parts of several slides: the texts of footers, the names of layouts and masters."""

    def read_slides(self, report: ReportProgress) -> None:
        """Write the slides in their order, hidden ones included; one that is missing in the package has no text."""
        for number, slide in enumerate(self._slides, 1):
            self.writer.page, before = number, len(self.writer.blocks)
            if slide is not None:
                self._write_slide(slide)
            if len(self.writer.blocks) == before:
                self.textless.append(number)
            report(number, self.total)
        if self.total > self._limits.pages:
            self.writer.stop(TOO_MANY_PAGES)

    def _write_slide(self, slide: Part) -> None:
        """Write a slide's title, its shapes in order, what its layout adds, then its notes and comments."""
        shapes = list(shapes_of(slide))
        title = next((each for each in shapes if placeholder(each) in TITLES), None)
        if title is not None:
            self.writer.add(BlockKind.HEADING, single_line(frame_text(title.find(FRAME))), level=1)
        for shape in shapes:
            if shape is not title:
                self._write_shape(slide, shape)
        self._write_layout(slide, "slideLayout")
        for notes in slide.related("notesSlide"):
            for shape in shapes_of(notes):
                if placeholder(shape) in RUNNING:
                    self._write_once(frame_text(shape.find(FRAME)))
                elif placeholder(shape) not in NO_TEXT:
                    self.writer.add(BlockKind.PARAGRAPH, frame_text(shape.find(FRAME)))
        for comments in slide.related("comments"):
            self._write_comments(comments)

    def _write_shape(self, part: Part, shape: Element) -> None:
        """Write the text of a shape, a table, the description of a picture, a chart or a diagram."""
        if shape.tag == TABLE:
            self.writer.add_table(table_rows(shape))
        elif shape.tag == PICTURE:
            self.writer.add(BlockKind.PARAGRAPH, alternative_text(shape.find(PICTURE_PROPERTIES)))
        elif shape.tag != SHAPE:
            write_drawing(self.writer, part, shape)
        elif placeholder(shape) in RUNNING:
            self._write_once(frame_text(shape.find(FRAME)))
        elif placeholder(shape) not in NO_TEXT:
            for line in frame_lines(shape.find(FRAME)):
                self.writer.add(BlockKind.LIST if line.strip() else BlockKind.PARAGRAPH, line)

    def _write_once(self, text: str) -> None:
        if text not in self._running:
            self._running.add(text)
            self.writer.add(BlockKind.PARAGRAPH, text)

    def _write_layout(self, part: Part, kind: str) -> None:
        """Write the text that a layout and its master print on their slides, on the first slide that has it."""
        for layout in part.related(kind):
            if layout.name in self._running:
                continue
            self._running.add(layout.name)
            for shape in shapes_of(layout):
                if shape.tag == SHAPE and placeholder(shape) is None:
                    self._write_once(frame_text(shape.find(FRAME)))
            self._write_layout(layout, "slideMaster")

    def _write_comments(self, comments: Part) -> None:
        """Write comments with their authors, in the form of PowerPoint 2007 or in that of today."""
        for each in comments.root.iter():
            author = self._authors.get(each.get("authorId", ""))
            if (text := each.find(f"{P}text")) is not None:
                self.writer.add(BlockKind.PARAGRAPH, signed(author, text.text or ""))
            elif "authorId" in each.attrib:
                bodies = (child for child in each if child.tag.endswith("}txBody"))
                self.writer.add(BlockKind.PARAGRAPH, signed(author, "\n".join(map(frame_text, bodies))))


def authors_of(presentation: Part) -> dict[str, str]:
    """Return the names of those who comment, by the identifier that comments have."""
    parts = [*presentation.related("commentAuthors"), *presentation.related("authors")]
    return {each.get("id", ""): each.get("name", "") for part in parts for each in part.root}


def shapes_of(part: Part) -> Iterator[Element]:
    """Yield the shapes, tables, pictures, charts and diagrams of a slide in order, those of groups included."""
    tree = part.root.find(TREE)
    stack = [] if tree is None else list(reversed(tree))
    while stack:
        element = stack.pop()
        if element.tag in {SHAPE, PICTURE, TABLE, DIAGRAM, *CHARTS}:
            yield element
        elif element.tag != FALLBACK or element.getprevious() is None:
            stack.extend(reversed(element))


def placeholder(shape: Element) -> str | None:
    """Return the kind of a placeholder; None for a shape that is none."""
    found = shape.find(PLACEHOLDER)
    return None if found is None else found.get("type", "obj")


def table_rows(table: Element) -> Iterator[list[str]]:
    """Yield the texts of a table's rows, one for each column."""
    above: dict[int, str] = {}
    for row in table.iterfind(f"{A}tr"):
        cells = row.findall(f"{A}tc")
        yield filled_row([(cell_text(cell), 1, cell.get("vMerge") in {"1", "true"}) for cell in cells], above)


def cell_text(cell: Element) -> str:
    return "" if cell.get("hMerge") in {"1", "true"} else frame_text(cell.find(f"{A}txBody"))


FORMAT = Format(
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ("pptx", "pptm", "ppsx", "ppsm", "potx", "potm"),
    read_pptx,
    libraries=("lxml.etree",),
    office=OfficePattern.of("ppt", "presentationml|ms-powerpoint"),
)
