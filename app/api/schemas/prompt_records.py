from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.schemas.fields import JsonObject, Output
from app.api.schemas.messages import CitationOut, RetrievalOut, citations_json
from app.domain.messages import Role
from app.domain.prompt_record import SentPrompt


class SentMessageOut(Output):
    """A message of the prompt; the system prompt has no sequence number. `tokens` is an estimate."""

    sequence_number: int | None
    role: Role
    tokens: int


class SentSummaryOut(Output):
    """Summary sent in place of earlier messages; `content` is null if it was dropped since."""

    first: int = Field(description="Sequence number of the first summarised message.")
    last: int = Field(description="Sequence number of the last one.")
    content: str | None
    tokens: int


class OmittedOut(Output):
    """Range of messages left out of the prompt, and the reason."""

    first: int = Field(description="Sequence number of the first omitted message.")
    last: int = Field(description="Sequence number of the last one.")
    reason: Literal["window", "summarised", "deleted", "superseded", "no-reply", "half-deleted"]


class ContextOut(Output):
    """Prompt record of a reply: what was sent to the model, and what was omitted."""

    provider: str | None
    model: str | None
    messages: list[SentMessageOut]
    summary: SentSummaryOut | None
    citations: list[CitationOut] = Field(description="Passages sent with the question.")
    queries: list[str] = Field(description="Queries that the documents were searched for.")
    retrieval: RetrievalOut
    estimated_tokens: int = Field(description="Estimated tokens of the whole prompt.")
    omitted: list[OmittedOut]


def prompt_record_json(record: SentPrompt) -> JsonObject:
    summary = record.summary
    return {
        "provider": record.provider,
        "model": record.model,
        "messages": [
            {"sequence_number": each.sequence_number, "role": each.role, "tokens": each.tokens}
            for each in record.messages
        ],
        "summary": summary
        and {"first": summary.first, "last": summary.last, "content": summary.content, "tokens": summary.tokens},
        "citations": citations_json(record.retrieval.candidates),
        "queries": record.retrieval.queries,
        "retrieval": {"status": record.retrieval.status},
        "estimated_tokens": record.estimated_tokens,
        "omitted": [{"first": each.first, "last": each.last, "reason": each.reason} for each in record.omitted],
    }
