from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.documents import Citation
from app.domain.messages import Failure, FinishReason, Status, Usage
from app.domain.prompt import PromptRecord
from app.domain.retrieval import RetrievalResult
from app.domain.usage import Attempt


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """What was done for a reply."""

    provider: str | None = None
    model: str | None = None
    """Who was asked last, which is who wrote the text; None where nobody was."""
    reasoning: str | None = None
    context: PromptRecord | None = None
    attempts: Sequence[Attempt] = ()
    retrieval: RetrievalResult | None = None
    """None in an open conversation, and where the turn did not come to it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended; `text` is all of the reply."""

    status: Status
    text: str
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: Failure | None = None
    work: TurnRecord = field(default_factory=TurnRecord)
    citations: Sequence[Citation] = ()
    """Of what was found for it, what the text cites."""
