"""PDF: text page by page; headings and paragraphs come from letter sizes and distances."""

from __future__ import annotations

import io
import logging
import re
from typing import TYPE_CHECKING

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
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.page_layout import blocks_of_pages
from app.rag.extraction.page_line import Line
from app.rag.extraction.pdf_lines import lines_of

if TYPE_CHECKING:
    from pypdf import PdfReader

PAGE_OBJECT = re.compile(rb"/Type\s{0,9}/Page\b")
GENERATED_TITLE = re.compile(
    r"untitled|microsoft word|powerpoint|\.(?:docx?|pdf|indd|tex|dvi|html?|pptx?)$|^\W*$", re.IGNORECASE
)
SIGNATURE_BYTES = 1024
"""Of a file, in which its first line begins (ISO 32000-1, annex H)."""
TRAILER_BYTES = 2048


def read_pdf(content: bytes, limits: Limits, report: ReportProgress, _options: ReadOptions) -> TextBlocks:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError, PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns about every oddity in a file
    if len(PAGE_OBJECT.findall(content)) > limits.pages:  # pypdf takes long to find all objects of so many
        raise ExtractionError(TOO_MANY_PAGES)
    try:
        return read_pages(PdfReader(io.BytesIO(content), strict=False), limits, report)
    except LimitReachedError as error:
        raise ExtractionError(PDF_TOO_LARGE) from error
    except (FileNotDecryptedError, DependencyError) as error:
        raise ExtractionError(ENCRYPTED) from error
    except RecursionError as error:
        raise ExtractionError(TOO_DEEP) from error
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise ExtractionError(CORRUPT) from error  # pypdf trusts a file's objects to be of the right type


def read_pages(reader: PdfReader, limits: Limits, report: ReportProgress) -> TextBlocks:
    """Read all pages; an unreadable page counts as one without text, unless all pages are unreadable."""
    from pypdf.errors import LimitReachedError

    if reader.is_encrypted and not reader.decrypt(""):
        raise ExtractionError(ENCRYPTED)
    total = len(reader.pages)
    if total > limits.pages:
        raise ExtractionError(TOO_MANY_PAGES)
    pages: list[list[Line]] = []
    unreadable, characters_left = 0, limits.characters
    for number, page in enumerate(reader.pages, 1):
        try:
            lines = list(lines_of(page))
        except (MemoryError, RecursionError, LimitReachedError):
            raise
        except Exception:  # noqa: BLE001  pypdf fails in many ways on a damaged page; the others are still read
            lines, unreadable = [], unreadable + 1
        characters_left -= sum(len(line.text) for line in lines)
        if characters_left < 0:
            raise ExtractionError(TOO_MUCH_TEXT)
        pages.append(lines)
        report(number, total)
    if unreadable == total:
        raise ExtractionError(CORRUPT)
    return blocks_of_pages(pages, title_of(reader), limits)


def title_of(reader: PdfReader) -> str | None:
    """Return the title in the file's metadata; None without one, or for one that a program generated."""
    title = reader.metadata.title if reader.metadata is not None else None
    return None if not title or GENERATED_TITLE.search(title) else title


def is_pdf(head: bytes, tail: bytes) -> bool:
    """Return whether a file is a PDF; other bytes may precede its first line if it has a PDF's trailer."""
    place = head[:SIGNATURE_BYTES].find(b"%PDF-")
    return place == 0 or (place > 0 and (not head[:place].strip() or b"startxref" in tail[-TRAILER_BYTES:]))


FORMAT = Format("application/pdf", ("pdf",), read_pdf, libraries=("pypdf",), signature=is_pdf)
