"""PPTX: a slide is a page, its title a heading."""

from __future__ import annotations

from typing import Any

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks, single_line
from app.rag.extraction.errors import CORRUPT, TOO_MANY_PAGES, ExtractionError
from app.rag.extraction.format import Format, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.zip_guard import open_checked, xml_failure

TABLE_ROW = "{http://schemas.openxmlformats.org/drawingml/2006/main}tr"


def read_pptx(content: bytes, limits: Limits, report: ReportProgress) -> TextBlocks:
    """Read the slides of a presentation, with the speaker's notes."""
    from lxml.etree import LxmlError
    from pptx import Presentation
    from pptx.exc import PythonPptxError

    file = open_checked(content, limits)
    try:
        return read_slides(Presentation(file), limits, report)
    except LxmlError as error:
        raise ExtractionError(xml_failure(error)) from error
    except (PythonPptxError, KeyError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise ExtractionError(CORRUPT) from error  # python-pptx trusts a package's parts to be of the right type


def read_slides(presentation: Any, limits: Limits, report: ReportProgress) -> TextBlocks:
    writer, total, textless = BlockWriter(limits), len(presentation.slides), []
    if total > limits.pages:
        raise ExtractionError(TOO_MANY_PAGES)
    for number, slide in enumerate(presentation.slides, 1):
        writer.page, before = number, len(writer.blocks)
        write_slide(writer, slide)
        if len(writer.blocks) == before:
            textless.append(number)
        report(number, total)
    document = writer.build(presentation.core_properties.title)
    document.page_count, document.textless_pages = total, textless
    return document


def write_slide(writer: BlockWriter, slide: Any) -> None:
    """Write a slide's title, then its shapes in order, those of groups included, then its notes."""
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        writer.add(BlockKind.HEADING, single_line(title.text_frame.text), level=1)
    stack = list(slide.shapes)[::-1]
    while stack:
        shape = stack.pop()
        if hasattr(shape, "shapes"):
            stack.extend(list(shape.shapes)[::-1])
        elif title is None or shape.shape_id != title.shape_id:
            write_shape(writer, shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        writer.add(BlockKind.PARAGRAPH, slide.notes_slide.notes_text_frame.text)


def write_shape(writer: BlockWriter, shape: Any) -> None:
    """Write a shape's paragraphs, or its table."""
    if shape.has_text_frame:
        for paragraph in shape.text_frame.paragraphs:
            text = single_line("".join(run.text for run in paragraph.runs))
            writer.add(BlockKind.LIST if text else BlockKind.PARAGRAPH, "  " * paragraph.level + text)
    elif getattr(shape, "has_table", False):
        rows = shape.element.iter(TABLE_ROW)  # python-pptx's own rows take time quadratic in their number
        writer.add_table([cell.text for cell in each.tc_lst] for each in rows)


FORMAT = Format(
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ("pptx",),
    read_pptx,
    libraries=("pptx",),
    extra="pptx",
    office_folder="ppt",
)
