from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.documents import Citation, Passage


class RetrievalMode(StrEnum):
    """The choice whether a turn of a rag conversation searches the documents."""

    AUTO = "auto"
    """Search unless the message needs none, such as a greeting."""
    ALWAYS = "always"
    NEVER = "never"


class RetrievalStatus(StrEnum):
    """The result of a search in one word."""

    OK = "ok"
    EMPTY = "empty"
    """No passage was found, or, for a model that cannot cite, none is near enough."""
    DEGRADED = "degraded"
    """Searched by words alone, as vectors are missing."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """There was no search."""


@dataclass(frozen=True, slots=True)
class RetrievalRequest:
    """The search requested for a turn of a rag conversation, fixed when the turn is accepted."""

    mode: RetrievalMode = RetrievalMode.AUTO
    document_ids: Sequence[str] | None = None
    """Ids of the documents to search; None for all of the user's."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The passages of a search, best first."""

    passages: Sequence[Passage]
    status: RetrievalStatus
    """OK, EMPTY where no passage was found, or DEGRADED."""


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """The search for a reply, stored with the reply."""

    status: RetrievalStatus
    queries: Sequence[str] = ()
    candidates: Sequence[Citation] = ()
    """The passages given to the model, by the markers that it may cite."""
