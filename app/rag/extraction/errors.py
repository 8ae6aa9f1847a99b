"""Failures of documents that cannot be read: a failure for each bound, so that it says what can be done.

| code | when | retryable |
|---|---|---|
| unsupported-format | the bytes are of no kind that is read here | no |
| document-encrypted | it asks for a password | no |
| document-corrupt | it is damaged, or not what it says it is | no |
| document-too-large | it is over a limit of size: unpacked, members, characters, chunks | no |
| document-too-many-pages | it has more pages than are read | no |
| document-too-complex | it is over a limit of structure, or takes more processor time or memory than is given | no |
| document-too-complex | its process was not given the time | yes |
| document-empty | there is no text in it, as in scans | no |
| extraction-interrupted | the reading process was ended from outside | yes |

The numbers in the sentences are those of the limits by default.
"""

from __future__ import annotations

from app.domain.documents import DocumentFailure
from app.rag.extraction.limits import Limits

LIMITS = Limits()
DIVIDE = "Divide it and upload the parts."


def too_large(reason: str) -> DocumentFailure:
    """A failure for a limit of size."""
    return DocumentFailure("document-too-large", reason)


def too_complex(reason: str, *, retryable: bool = False) -> DocumentFailure:
    """A failure for a limit of structure, time or memory."""
    return DocumentFailure("document-too-complex", reason, retryable)


UNSUPPORTED = DocumentFailure("unsupported-format", "Documents of this kind are not read here.")
ENCRYPTED = DocumentFailure("document-encrypted", "The document is encrypted; upload it without a password.")
CORRUPT = DocumentFailure("document-corrupt", "The document is damaged, or is not what it says it is.")
EMPTY = DocumentFailure("document-empty", "No text was found in the document; it may be scanned.")
INTERRUPTED = DocumentFailure("extraction-interrupted", "Reading the document was interrupted.", retryable=True)

TOO_MANY_PAGES = DocumentFailure(
    "document-too-many-pages", f"The document has more than {LIMITS.pages:,} pages. {DIVIDE}"
)

UNPACKED_TOO_LARGE = too_large(
    f"The document is larger than {LIMITS.unpacked_bytes // 1_000_000} MB when it is unpacked. "
    "Leave out what it embeds, such as pictures, or divide it."
)
PDF_TOO_LARGE = too_large(
    "A page or part of the PDF is too large when it is unpacked. Print it to a new PDF without drawings, or divide it."
)
TOO_MANY_MEMBERS = too_large(
    f"The document holds more than {LIMITS.members:,} files. Leave out what it embeds, or divide it."
)
TOO_MUCH_TEXT = too_large(f"The document has more than {LIMITS.characters:,} characters of text. {DIVIDE}")
TOO_MANY_CHUNKS = too_large(f"The document's text is cut into more than {LIMITS.chunks:,} chunks. {DIVIDE}")

TOO_MANY_ELEMENTS = too_complex(
    "The document has too many elements, such as paragraphs, cells and marks of formatting. "
    "Divide it, or save it as plain text."
)
TOO_MANY_COLUMNS = too_complex(
    f"A table of the document has more than {LIMITS.columns:,} columns. Leave columns out, or upload them in parts."
)
TOO_MANY_CELLS = too_complex(f"The document's tables have more than {LIMITS.cells:,} cells. {DIVIDE}")
TOO_DEEP = too_complex(
    "The document's elements are nested too deep within each other. Save it in a simpler form, such as plain text."
)
OUT_OF_MEMORY = too_complex(
    "Reading the document takes more memory than is given. Divide it, or save it in a simpler form."
)
OUT_OF_CPU = too_complex(
    f"Reading the document takes more than {LIMITS.cpu_seconds} seconds of processor time. "
    "Divide it, or save it in a simpler form."
)
OUT_OF_TIME = too_complex(
    f"The document was not read in {LIMITS.wall_seconds:.0f} seconds, since the machine is busy. Try again later.",
    retryable=True,
)


class ExtractionError(Exception):
    """A document that cannot be read, and why."""

    def __init__(self, failure: DocumentFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure
