"""PDF: text page by page; headings and paragraphs come from letter sizes and distances."""

from __future__ import annotations

import io
import logging
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from app.domain.documents import DocumentFailure
from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.errors import (
    CORRUPT,
    ENCRYPTED,
    OUT_OF_CPU,
    OUT_OF_MEMORY,
    PDF_TOO_LARGE,
    TOO_DEEP,
    TOO_MANY_PAGES,
    TOO_MUCH_TEXT,
    ExtractionError,
    truncation,
)
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.page_layout import blocks_of_pages
from app.rag.extraction.page_line import Line
from app.rag.extraction.pdf_lines import lines_of
from app.rag.extraction.plausibility import readable_lines

if TYPE_CHECKING:
    from pypdf import PdfReader

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
    try:
        return read_document(PdfReader(io.BytesIO(content), strict=False), limits, report)
    except LimitReachedError as error:
        raise ExtractionError(PDF_TOO_LARGE) from error
    except (FileNotDecryptedError, DependencyError) as error:
        raise ExtractionError(ENCRYPTED) from error
    except RecursionError as error:
        raise ExtractionError(TOO_DEEP) from error
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise ExtractionError(CORRUPT) from error  # pypdf trusts a file's objects to be of the right type


def read_document(reader: PdfReader, limits: Limits, report: ReportProgress) -> TextBlocks:
    """Read the pages up to the first limit; an unreadable page counts as one without text.

    Raises:
        ExtractionError: no page could be read.
    """
    if reader.is_encrypted and not reader.decrypt(""):
        raise ExtractionError(ENCRYPTED)
    pages = PageSequence(reader, limits)
    pages.read(report)
    made = blocks_of_pages(pages.lines, title_of(reader), limits)
    made.page_count = pages.total
    if made.truncated is None and pages.stopped is not None:
        made.truncated = truncation(f"after page {len(pages.lines):,} of {pages.total:,}", pages.stopped)
    elif made.truncated is None and pages.left_out:
        made.truncated = f"{listed(sorted(pages.left_out))} not read. {next(iter(pages.left_out.values())).detail}"
    return made


class PageSequence:
    """Reads the lines of pages until one of the limits is met."""

    def __init__(self, reader: PdfReader, limits: Limits) -> None:
        self.total = len(reader.pages)
        self.lines: list[list[Line]] = []
        """Of each page that was read."""
        self.stopped: DocumentFailure | None = None
        """The limit that has ended the reading; None if it came to the last page."""
        self.left_out: dict[int, DocumentFailure] = {}
        """The limits of pages that were not read alone, by page number."""
        self._pages = reader.pages
        self._limits = limits
        self._characters_left = limits.characters
        self._unreadable = 0

    def read(self, report: ReportProgress) -> None:
        """Read the pages.

        Raises:
            ExtractionError: none could be read.
        """
        for number in range(1, self.total + 1):
            self.stopped = self._read_next()
            if self.stopped is not None:
                break
            report(number, self.total)
        if not any(self.lines):
            if failure := self.stopped or next(iter(self.left_out.values()), None):
                raise ExtractionError(failure)
            if self._unreadable == self.total:
                raise ExtractionError(CORRUPT)

    def _read_next(self) -> DocumentFailure | None:
        """Read the next page, or return the limit that is met."""
        from pypdf.errors import LimitReachedError

        number = len(self.lines) + 1
        if number > self._limits.pages:
            return TOO_MANY_PAGES
        lines: list[Line] = []
        try:
            with interrupted_after(self._limits.seconds_left):
                lines = readable_lines([line for line in lines_of(self._pages[number - 1]) if line.text])
        except TimeIsUp:
            return OUT_OF_CPU
        except MemoryError:
            return OUT_OF_MEMORY
        except LimitReachedError:
            self.left_out[number] = PDF_TOO_LARGE
        except RecursionError:
            self.left_out[number] = TOO_DEEP
        except Exception:  # noqa: BLE001  pypdf fails in many ways on a damaged page; the others are still read
            self._unreadable += 1
        self._characters_left -= sum(len(line.text) for line in lines)
        if self._characters_left < 0 and self.lines:
            return TOO_MUCH_TEXT
        self.lines.append(lines)
        return None


class TimeIsUp(BaseException):
    """The processor time for reading is spent; no handler of `Exception` in a library stops it."""


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Run the body for some seconds of processor time at most.

    Raises:
        TimeIsUp: it has not ended until then.
    """
    if seconds <= 0:
        raise TimeIsUp
    if seconds == float("inf"):
        yield
        return
    previous = signal.signal(signal.SIGPROF, raise_time_is_up)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def raise_time_is_up(*_: object) -> NoReturn:
    raise TimeIsUp


def listed(pages: Sequence[int]) -> str:
    """Return the subject of a sentence about some pages."""
    if len(pages) == 1:
        return f"Page {pages[0]:,} was"
    return f"Pages {', '.join(f'{each:,}' for each in pages[:10])}{' and others' if len(pages) > 10 else ''} were"


def title_of(reader: PdfReader) -> str | None:
    """Return the title in the file's metadata; None without one, or for one that a program generated."""
    title = reader.metadata.title if reader.metadata is not None else None
    return None if not title or GENERATED_TITLE.search(title) else title


def is_pdf(head: bytes, tail: bytes) -> bool:
    """Return whether a file is a PDF; other bytes may precede its first line if it has a PDF's trailer."""
    place = head[:SIGNATURE_BYTES].find(b"%PDF-")
    return place == 0 or (place > 0 and (not head[:place].strip() or b"startxref" in tail[-TRAILER_BYTES:]))


FORMAT = Format("application/pdf", ("pdf",), read_pdf, libraries=("pypdf",), signature=is_pdf)
