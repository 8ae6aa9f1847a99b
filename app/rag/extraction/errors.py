"""Failures of documents that cannot be read, one for each limit, so that its text can name a remedy.

| code | when | retryable |
|---|---|---|
| unsupported-format | the format is not read here | no |
| document-encrypted | a password is needed | no |
| document-corrupt | the document is damaged, or of another format than it declares | no |
| document-too-large | over a limit of size: unpacked, members, characters, chunks | no |
| document-too-many-pages | over the limit of pages | no |
| document-too-complex | over a limit of structure, processor time or memory | no |
| document-too-complex | over the limit of elapsed time, while the machine was busy | yes |
| document-empty | the document has no text, as a scan | no |
| extraction-interrupted | the reading process was ended from outside | yes |

The texts have the numbers of the default limits.
"""

from __future__ import annotations

from app.domain.documents import DocumentFailure
from app.rag.extraction.limits import Limits

LIMITS = Limits()
DIVIDE = "Divide it and upload the parts."


def too_large(detail: str) -> DocumentFailure:
    return DocumentFailure("document-too-large", detail)


def too_complex(detail: str, *, retryable: bool = False) -> DocumentFailure:
    return DocumentFailure("document-too-complex", detail, retryable)


UNSUPPORTED = DocumentFailure(
    "unsupported-format", "Documents of this format cannot be read. Save it in another format, such as PDF."
)
ENCRYPTED = DocumentFailure("document-encrypted", "The document is encrypted. Upload it without a password.")
CORRUPT = DocumentFailure(
    "document-corrupt",
    "The document is damaged, or is not in the format that it declares. Open it, save it again and upload the result.",
)
EMPTY = DocumentFailure(
    "document-empty", "The document contains no text. If it is scanned, upload a version with recognised text."
)
INTERRUPTED = DocumentFailure(
    "extraction-interrupted", "Reading the document was interrupted. Try again.", retryable=True
)

TOO_MANY_PAGES = DocumentFailure(
    "document-too-many-pages", f"The document has more than {LIMITS.pages:,} pages. {DIVIDE}"
)

UNPACKED_TOO_LARGE = too_large(
    f"The document is larger than {LIMITS.unpacked_bytes // 1_000_000} MB when unpacked. "
    "Remove embedded files, such as pictures, or divide it."
)
PDF_TOO_LARGE = too_large(
    "A page or part of the PDF is too large when unpacked. Print it to a new PDF without drawings, or divide it."
)
TOO_MANY_MEMBERS = too_large(
    f"The document contains more than {LIMITS.members:,} files. Remove embedded files, or divide it."
)
TOO_MUCH_TEXT = too_large(f"The document has more than {LIMITS.characters:,} characters of text. {DIVIDE}")
TOO_MANY_CHUNKS = too_large(f"The document's text is split into more than {LIMITS.chunks:,} chunks. {DIVIDE}")

TOO_MANY_ELEMENTS = too_complex(
    "The document has too many elements, such as paragraphs, cells and formatting. Divide it, or save it as plain text."
)
TOO_MANY_COLUMNS = too_complex(
    f"A table of the document has more than {LIMITS.columns:,} columns. Remove columns, or upload them in parts."
)
TOO_MANY_CELLS = too_complex(f"The document's tables have more than {LIMITS.cells:,} cells. {DIVIDE}")
TOO_DEEP = too_complex(
    "The document's elements are nested too deeply. Save it in a simpler format, such as plain text."
)
OUT_OF_MEMORY = too_complex("Reading the document needs too much memory. Divide it, or save it in a simpler format.")
OUT_OF_CPU = too_complex(
    f"Reading the document needs more than {LIMITS.cpu_seconds} seconds of processor time. "
    "Divide it, or save it in a simpler format."
)
OUT_OF_TIME = too_complex(
    f"The document was not read within {LIMITS.wall_seconds:.0f} seconds because the machine is busy. Try again later.",
    retryable=True,
)


def truncation(place: str, failure: DocumentFailure) -> str:
    """Return the text for a document that was read up to a place, such as "after page 3 of 9", because of a limit."""
    return f"Reading stopped {place}. {failure.detail}"


class ExtractionError(Exception):
    """A document cannot be read; `failure` has the code and the text."""

    def __init__(self, failure: DocumentFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure
