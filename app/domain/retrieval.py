from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.documents import Citation, Passage


class RetrievalMode(StrEnum):
    """Whether a turn of a rag conversation searches the documents."""

    AUTO = "auto"
    """Unless there is nothing to look up, as in a greeting."""
    ALWAYS = "always"
    NEVER = "never"


class RetrievalStatus(StrEnum):
    """What came of a search."""

    OK = "ok"
    EMPTY = "empty"
    """Nothing was found that is good enough."""
    DEGRADED = "degraded"
    """By words alone, as vectors are not there (yet)."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """There was no search."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a turn of a rag conversation may look up, as settled when it was accepted."""

    mode: RetrievalMode = RetrievalMode.AUTO
    document_ids: Sequence[str] | None = None
    """The documents to search; None for all of the user's."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search has found, the best first."""

    passages: Sequence[Passage]
    status: RetrievalStatus
    """OK, EMPTY when nothing at all was found, or DEGRADED."""


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """The search for a reply, as it is stored with it."""

    status: RetrievalStatus
    queries: Sequence[str] = ()
    candidates: Sequence[Citation] = ()
    """What was given to the model, by the markers that it may cite."""
