"""Extraction of a document's text, outline and chunks from its bytes; runs in a process of its own."""

from __future__ import annotations

from app.domain.documents import ExtractedDocument
from app.rag.chunking.headings import Outline
from app.rag.chunking.splitter import split_document
from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.errors import EMPTY, OUT_OF_MEMORY, TOO_DEEP, UNSUPPORTED, ExtractionError
from app.rag.extraction.format import NO_OPTIONS, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.registry import FORMATS

TEXTLESS_PAGES = 100
"""Maximum number of pages without text that are listed."""


def extract_document(
    content: bytes, media_type: str, limits: Limits, report: ReportProgress, options: ReadOptions = NO_OPTIONS
) -> ExtractedDocument:
    """Extract a document's text and divide it into chunks.

    Raises:
        ExtractionError: it is unreadable, over a limit or empty.
    """
    try:
        document = read_blocks(content, media_type, limits, report, options)
        outline = Outline(document)
        chunks = split_document(document, outline, limits)
    except MemoryError as error:
        raise ExtractionError(OUT_OF_MEMORY) from error
    except RecursionError as error:
        raise ExtractionError(TOO_DEEP) from error
    if not chunks:
        raise ExtractionError(EMPTY)
    textless = document.textless_pages[:TEXTLESS_PAGES]
    return ExtractedDocument(document.text, chunks, document.title, outline.entries, document.page_count, textless)


def read_blocks(
    content: bytes, media_type: str, limits: Limits, report: ReportProgress, options: ReadOptions = NO_OPTIONS
) -> TextBlocks:
    """Read a document of a media type that `detect_media_type` returns."""
    if (found := FORMATS.get(media_type)) is None:
        raise ExtractionError(UNSUPPORTED)
    return found.read(content, limits, report, options)
