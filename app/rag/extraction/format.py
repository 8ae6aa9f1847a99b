"""Declaration of a document format: its media type, its signature and its reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.limits import Limits

ReportProgress: TypeAlias = Callable[[int, int], None]
"""Called with the number of pages read and the number of all pages."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Properties of a document that its bytes and its media type do not show, and wishes for reading it."""

    keep_links: bool = False
    """True to read a link as `text (address)`."""
    name: str = ""
    """The file's name, whose extension says which language its source code is in."""
    charset: str = ""
    """Name of a text's encoding, if the client has given one."""


NO_OPTIONS = ReadOptions()


@dataclass(frozen=True, slots=True)
class OfficePattern:
    """Patterns by which a package of Office is recognised."""

    content_type: re.Pattern[bytes]
    """Matches the content types that the package declares."""
    member: re.Pattern[bytes]
    """Matches the directory of its archive, where it declares none that are within reach."""

    @classmethod
    def of(cls, folder: str, families: str) -> OfficePattern:
        """Return the patterns of documents in a folder, with a content type of these families (alternatives)."""
        return cls(
            re.compile(rf"(?:{families})\.[\w.]{{1,40}}\.main\+xml".encode()),
            re.compile(rf"PK\x01\x02.{{42}}{folder}/[^/]*\.xml".encode(), re.DOTALL),
        )


@dataclass(frozen=True, slots=True)
class Format:
    """A format of documents; without `signature` and `office` it is a format of text.

    Formats are declared in the service's process too, so their libraries are imported by `read` alone.
    """

    media_type: str
    extensions: tuple[str, ...]
    """Of file names, in lower case and without the dot, the usual one first; none where the bytes alone decide."""
    read: Callable[[bytes, Limits, ReportProgress, ReadOptions], TextBlocks]
    """Read a file's bytes; raises `ExtractionError` if it is unreadable or over a limit."""
    libraries: tuple[str, ...] = ()
    """Modules that `read` imports, and the fork server before it forks."""
    signature: Callable[[bytes, bytes], bool] | None = None
    """Recognise a file by its first and its last bytes."""
    office: OfficePattern | None = None
    """Recognise an Office package."""
    matches_text: Callable[[str, str], bool] | None = None
    """Recognise a text by its first characters and its extension; None if the extension alone decides."""

    @property
    def is_text(self) -> bool:
        return self.signature is None and self.office is None
