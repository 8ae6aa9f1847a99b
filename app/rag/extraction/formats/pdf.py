"""PDF: text page by page; sizes and distances tell what is a heading or a paragraph, since the format does not."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from pypdf import PageObject, PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError, PyPdfError

from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.errors import (
    CORRUPT,
    ENCRYPTED,
    PDF_TOO_LARGE,
    TOO_DEEP,
    TOO_MANY_PAGES,
    TOO_MUCH_TEXT,
    ExtractionError,
)
from app.rag.extraction.limits import Limits
from app.rag.extraction.page_layout import Line, draft_of

PAGE = re.compile(rb"/Type\s{0,9}/Page\b")
NO_TITLE = re.compile(
    r"untitled|microsoft word|powerpoint|\.(?:docx?|pdf|indd|tex|dvi|html?|pptx?)$|^\W*$", re.IGNORECASE
)

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of every oddity in a file


def read_pdf(content: bytes, limits: Limits, progress: Callable[[int, int], None]) -> TextBlocks:
    """The draft of a PDF; `progress` is told pages done, of how many."""
    if len(PAGE.findall(content)) > limits.pages:  # to find all objects of so many takes long
        raise ExtractionError(TOO_MANY_PAGES)
    try:
        return read(PdfReader(io.BytesIO(content), strict=False), limits, progress)
    except LimitReachedError as error:
        raise ExtractionError(PDF_TOO_LARGE) from error
    except (FileNotDecryptedError, DependencyError) as error:
        raise ExtractionError(ENCRYPTED) from error
    except RecursionError as error:
        raise ExtractionError(TOO_DEEP) from error
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise ExtractionError(CORRUPT) from error  # pypdf trusts a file's objects to be of the kinds they should


def read(reader: PdfReader, limits: Limits, progress: Callable[[int, int], None]) -> TextBlocks:
    """What is on the pages; a page that cannot be read counts as one without text, unless all are so."""
    if reader.is_encrypted and not reader.decrypt(""):
        raise ExtractionError(ENCRYPTED)
    total = len(reader.pages)
    if total > limits.pages:
        raise ExtractionError(TOO_MANY_PAGES)
    pages: list[list[Line]] = []
    unread, left = 0, limits.characters
    for number, page in enumerate(reader.pages, 1):
        try:
            lines = list(lines_of(page))
        except (MemoryError, RecursionError, LimitReachedError):
            raise
        except Exception:  # noqa: BLE001  whatever is wrong with one page, the others are read
            lines, unread = [], unread + 1
        left -= sum(len(line.text) for line in lines)
        if left < 0:
            raise ExtractionError(TOO_MUCH_TEXT)
        pages.append(lines)
        progress(number, total)
    if unread == total:
        raise ExtractionError(CORRUPT)
    return draft_of(pages, title_in(reader), limits)


def title_in(reader: PdfReader) -> str | None:
    """The title that the file gives itself, unless it is one that programs put there."""
    title = reader.metadata.title if reader.metadata is not None else None
    return None if not title or NO_TITLE.search(title) else title


def lines_of(page: PageObject) -> Iterator[Line]:
    """The lines of a page, with the size of their letters and where they stand."""
    fragments: list[tuple[str, float, float]] = []

    def visit(text: str, matrix: Any, text_matrix: Any, _font: Any, size: float) -> None:
        if text:
            height = text_matrix[4] * matrix[1] + text_matrix[5] * matrix[3] + matrix[5]
            fragments.append((text, scaled(size, matrix, text_matrix), height))

    page.extract_text(visitor_text=visit)
    text, size, height = "", 0.0, 0.0
    for fragment, its_size, its_height in fragments:
        for place, piece in enumerate(fragment.split("\n")):
            if place:
                yield Line.of(text, size, height)
                text, size = "", 0.0
            if piece.strip() and its_size > size:
                size, height = its_size, its_height
            text += piece
    yield Line.of(text, size, height)


def scaled(size: float, matrix: Any, text_matrix: Any) -> float:
    """A font's size on the page, in points."""
    inner = (text_matrix[2] ** 2 + text_matrix[3] ** 2) ** 0.5
    outer = (matrix[2] ** 2 + matrix[3] ** 2) ** 0.5
    return float(abs(size) * inner * outer)
