"""Presentations: a slide is a page, its title a heading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lxml.etree import LxmlError
from pptx import Presentation
from pptx.exc import PythonPptxError
from pptx.oxml.ns import qn

from app.rag.extraction.blocks import BlockWriter, Kind, TextBlocks, folded
from app.rag.extraction.errors import CORRUPT, TOO_MANY_PAGES, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.zip_guard import checked, failure_of


def read_pptx(content: bytes, limits: Limits, progress: Callable[[int, int], None]) -> TextBlocks:
    """The draft of a presentation, notes of the speaker included; `progress` is told slides done, of how many."""
    file = checked(content, limits)
    try:
        return draft_of(Presentation(file), limits, progress)
    except LxmlError as error:
        raise ExtractionError(failure_of(error)) from error
    except (PythonPptxError, KeyError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise ExtractionError(CORRUPT) from error  # python-pptx trusts a package's parts to be what they should


def draft_of(deck: Any, limits: Limits, progress: Callable[[int, int], None]) -> TextBlocks:
    """What is on the slides, in order."""
    writer, total, textless = BlockWriter(limits), len(deck.slides), []
    if total > limits.pages:
        raise ExtractionError(TOO_MANY_PAGES)
    for number, slide in enumerate(deck.slides, 1):
        writer.page, before = number, len(writer.blocks)
        write_slide(writer, slide)
        if len(writer.blocks) == before:
            textless.append(number)
        progress(number, total)
    draft = writer.draft(deck.core_properties.title)
    draft.page_count, draft.textless_pages = total, textless
    return draft


def write_slide(writer: BlockWriter, slide: Any) -> None:
    """A slide's title, then its shapes, then what is to be said."""
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        writer.add(Kind.HEADING, folded(title.text_frame.text), level=1)
    waiting = list(slide.shapes)[::-1]
    while waiting:
        shape = waiting.pop()
        if hasattr(shape, "shapes"):
            waiting.extend(list(shape.shapes)[::-1])
        elif title is None or shape.shape_id != title.shape_id:
            write_shape(writer, shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        writer.add(Kind.PARAGRAPH, slide.notes_slide.notes_text_frame.text)


def write_shape(writer: BlockWriter, shape: Any) -> None:
    """A shape's text, or its table."""
    if shape.has_text_frame:
        for paragraph in shape.text_frame.paragraphs:
            text = folded("".join(run.text for run in paragraph.runs))
            writer.add(Kind.LIST if text else Kind.PARAGRAPH, "  " * paragraph.level + text)
    elif getattr(shape, "has_table", False):
        rows = shape.element.iter(qn("a:tr"))  # the library's own rows take time quadratic in their number
        writer.add_table([cell.text for cell in each.tc_lst] for each in rows)
