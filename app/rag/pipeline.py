"""Extraction of a document's text, outline and chunks from its bytes; runs in a process of its own."""

from __future__ import annotations

from app.domain.documents import ExtractedDocument
from app.rag.chunking.headings import Outline
from app.rag.chunking.splitter import split_document
from app.rag.extraction.blocks import ReadingStopped, TextBlocks
from app.rag.extraction.errors import (
    EMPTY,
    OUT_OF_MEMORY,
    TOO_DEEP,
    TOO_MANY_CHUNKS,
    TOO_MUCH_TEXT,
    UNSUPPORTED,
    ExtractionError,
    truncation,
)
from app.rag.extraction.format import NO_OPTIONS, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.registry import FORMATS
from app.rag.extraction.text_decoding import within_limit

TEXTLESS_PAGES = 100
"""Maximum number of pages without text that are listed."""


def extract_document(
    content: bytes, media_type: str, limits: Limits, report: ReportProgress, options: ReadOptions = NO_OPTIONS
) -> ExtractedDocument:
    """Extract a document's text and divide it into chunks.

    Raises:
        ExtractionError: it is unreadable, over a limit or empty.
    """
    limits = limits.started()
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
    if document.text[chunks[-1].end :].strip():
        cut_document(document, chunks[-1].end)
    return ExtractedDocument(
        document.text,
        chunks,
        document.title,
        [each for each in outline.entries if each.start < len(document.text)],
        document.page_count,
        document.textless_pages[:TEXTLESS_PAGES],
        document.truncated,
    )


def cut_document(document: TextBlocks, end: int) -> None:
    """Cut a document's text after the last of as many chunks as it may have."""
    pages = [block.page for block in document.blocks if block.start < end]
    place = f"after {end:,} characters of text" if pages[-1] is None else f"on page {pages[-1]:,}"
    document.text, document.truncated = document.text[:end], truncation(place, TOO_MANY_CHUNKS)


def read_blocks(
    content: bytes, media_type: str, limits: Limits, report: ReportProgress, options: ReadOptions = NO_OPTIONS
) -> TextBlocks:
    """Read a document of a media type that `detect_media_type` returns."""
    if (found := FORMATS.get(media_type)) is None:
        raise ExtractionError(UNSUPPORTED)
    kept = content
    if found.is_text:
        kept = within_limit(content, limits, charset=options.charset, declared=media_type == "text/html")
    try:
        document = found.read(kept, limits, report, options)
    except ReadingStopped as stopped:
        if not stopped.writer.blocks:
            raise
        document = stopped.writer.build()
    if kept is not content and document.truncated is None:
        document.truncated = truncation(f"after {limits.characters:,} characters of the file", TOO_MUCH_TEXT)
    return document
