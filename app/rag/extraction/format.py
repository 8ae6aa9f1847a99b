"""Declaration of a document format: its media type, its signature and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.limits import Limits

ReportProgress: TypeAlias = Callable[[int, int], None]
"""Called with the number of pages read and the number of all pages."""
BASE_EXTRA = "documents"
"""The optional dependencies without which no document is read at all."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of documents; without `signature` and `office_folder` it is a format of text.

    Formats are declared in the service's process too, so their libraries are imported by `read` alone.
    """

    media_type: str
    extensions: tuple[str, ...]
    """Of file names, in lower case and without the dot, the usual one first."""
    read: Callable[[bytes, Limits, ReportProgress], TextBlocks]
    """Read a file's bytes; raises `ExtractionError` if it is unreadable or over a limit."""
    libraries: tuple[str, ...] = ()
    """Modules that `read` imports; the fork server imports those of `BASE_EXTRA` before it forks."""
    extra: str = BASE_EXTRA
    """The project's optional dependencies that install the libraries."""
    signature: Callable[[bytes, bytes], bool] | None = None
    """Recognise a file by its first and its last bytes."""
    office_folder: str | None = None
    """The folder of an Office archive that holds the document itself, as `word` in DOCX."""
    matches_text: Callable[[str, str], bool] | None = None
    """Recognise a text by its first characters and its extension; None if the extension alone decides."""

    @property
    def is_text(self) -> bool:
        return self.signature is None and self.office_folder is None

    @property
    def available(self) -> bool:
        """True if the format is read here. `BASE_EXTRA` is checked once for all formats, when the service starts."""
        return self.extra == BASE_EXTRA or self.installed

    @property
    def installed(self) -> bool:
        """True if all libraries are installed; none of them is imported."""
        return all(find_spec(each.partition(".")[0]) is not None for each in self.libraries)
