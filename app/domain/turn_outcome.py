from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.documents import Citation
from app.domain.messages import Failure, FinishReason, Status, Usage
from app.domain.prompt import PromptRecord
from app.domain.retrieval import RetrievalResult
from app.domain.usage import Attempt
from app.errors import AppError


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """The retrieval and the model call of a reply, as they are stored with it."""

    provider: str | None = None
    """Of the model that was called last, which wrote the text; None if no model was called."""
    model: str | None = None
    reasoning: str | None = None
    prompt: PromptRecord | None = None
    attempts: Sequence[Attempt] = ()
    retrieval: RetrievalResult | None = None
    """None in an open conversation, and if the turn ended before the retrieval."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a turn; `text` is the whole reply."""

    status: Status
    text: str
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: Failure | None = None
    record: TurnRecord = field(default_factory=TurnRecord)
    citations: Sequence[Citation] = ()
    """The candidates of the retrieval result that the text cites."""


def failed_outcome(error: AppError, text: str) -> Outcome:
    """Build the outcome of a turn that an error ended; the text so far stays."""
    return Outcome(Status.FAILED, text, error=Failure(error.code, error.detail, error.retry_after))
