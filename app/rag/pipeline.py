"""From a document's bytes to its text, outline and chunks; to be done where it can be ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from app.domain.documents import ExtractedDocument
from app.rag.chunking.headings import Outline
from app.rag.chunking.splitter import chunks_of
from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.errors import EMPTY, OUT_OF_MEMORY, TOO_DEEP, UNSUPPORTED, ExtractionError
from app.rag.extraction.formats.csv import read_csv
from app.rag.extraction.formats.docx import read_docx
from app.rag.extraction.formats.html import read_html
from app.rag.extraction.formats.markdown import read_markdown
from app.rag.extraction.formats.pdf import read_pdf
from app.rag.extraction.formats.plain import read_plain
from app.rag.extraction.limits import Limits
from app.rag.extraction.media_types import CSV, DOCX, HTML, MARKDOWN, PDF, PLAIN, PPTX

Progress: TypeAlias = Callable[[int, int], None]
"""Is told pages done, of how many."""

TEXTLESS_PAGES = 100
"""Of those without text, how many are named."""


def extracted(content: bytes, media_type: str, limits: Limits, progress: Progress) -> ExtractedDocument:
    """A document's text and what is in it.

    Raises:
        Unreadable: it cannot be read, or there is nothing to read.
    """
    try:
        draft = draft_of(content, media_type, limits, progress)
        outline = Outline(draft)
        chunks = chunks_of(draft, outline, limits)
    except MemoryError as error:
        raise ExtractionError(OUT_OF_MEMORY) from error
    except RecursionError as error:
        raise ExtractionError(TOO_DEEP) from error
    if not chunks:
        raise ExtractionError(EMPTY)
    textless = draft.textless_pages[:TEXTLESS_PAGES]
    return ExtractedDocument(draft.text, chunks, draft.title, outline.entries, draft.page_count, textless)


def draft_of(content: bytes, media_type: str, limits: Limits, progress: Progress) -> TextBlocks:
    """The draft of a document of a media type that `sniff.media_type_of` gives."""
    whole = {CSV: read_csv, DOCX: read_docx, HTML: read_html, MARKDOWN: read_markdown, PLAIN: read_plain}
    if media_type in whole:
        return whole[media_type](content, limits)
    if media_type == PDF:
        return read_pdf(content, limits, progress)
    if media_type == PPTX:
        from app.rag.extraction.formats.pptx import read_pptx

        return read_pptx(content, limits, progress)
    raise ExtractionError(UNSUPPORTED)
