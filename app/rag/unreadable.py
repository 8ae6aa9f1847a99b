"""Why documents cannot be read.

| code | when | retryable |
|---|---|---|
| unsupported-format | the bytes are of no kind that is read here | no |
| document-encrypted | it asks for a password | no |
| document-corrupt | it is damaged, or not what it says it is | no |
| document-too-large | unpacked, or as text, it is over the limit | no |
| document-too-many-pages | it has more pages than are read | no |
| document-too-complex | reading it takes more processor time or memory than is given | no |
| document-empty | there is no text in it, as in scans | no |
| extraction-interrupted | the reading process was ended from outside, or not given the time | yes |
"""

from __future__ import annotations

from app.domain.documents import DocumentFailure

UNSUPPORTED = DocumentFailure("unsupported-format", "Documents of this kind are not read here.")
ENCRYPTED = DocumentFailure("document-encrypted", "The document is encrypted; upload it without a password.")
CORRUPT = DocumentFailure("document-corrupt", "The document is damaged, or is not what it says it is.")
TOO_LARGE = DocumentFailure("document-too-large", "The document is too large when it is unpacked, or in its text.")
TOO_MANY_PAGES = DocumentFailure("document-too-many-pages", "The document has too many pages.")
TOO_COMPLEX = DocumentFailure("document-too-complex", "Reading the document takes too much time or memory.")
EMPTY = DocumentFailure("document-empty", "No text was found in the document; it may be scanned.")
INTERRUPTED = DocumentFailure("extraction-interrupted", "Reading the document was interrupted.", retryable=True)


class Unreadable(Exception):
    """A document that cannot be read, and why."""

    def __init__(self, failure: DocumentFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure
