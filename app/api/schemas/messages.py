from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.fields import (
    Flag,
    Id,
    Input,
    JsonObject,
    MaxTokens,
    MessageText,
    Moment,
    Output,
    ProviderName,
    Temperature,
    rfc3339,
)
from app.domain.idempotency import IdempotencyKey
from app.domain.messages import FinishReason, Message, Role, Sampling, Status, Usage
from app.domain.retrieval import RetrievalMode, RetrievalStatus
from app.domain.turns import NewReply, NewTurn, OnBusy


class SamplingBody(Input):
    """Model and sampling parameters; defaults come from the conversation, then from the deployment."""

    provider: ProviderName | None = None
    model: ProviderName | None = None
    temperature: Temperature | None = None
    max_tokens: MaxTokens | None = None

    def sampling(self) -> Sampling:
        return Sampling(self.provider, self.model, self.temperature, self.max_tokens)


NOT_BOTH: JsonObject = {
    "not": {
        "required": ["stream", "background"],
        "properties": {"stream": {"const": True}, "background": {"const": True}},
    }
}
"""Schema of a body that is not both streamed and in the background."""


class ResponseModeBody(Input):
    """Mode of the response: JSON at the end, a stream of events, or an immediate 202 for a turn in the background."""

    model_config = ConfigDict(json_schema_extra={"allOf": [NOT_BOTH]})

    stream: Flag = False
    background: Flag = False


class RetrievalBody(Input):
    """Document search for this turn, in rag mode; no effect in open mode."""

    retrieval: RetrievalMode = RetrievalMode.AUTO


class BusyBody(Input):
    """Handling of a turn while an earlier one of its conversation is unfinished."""

    on_busy: OnBusy = OnBusy.QUEUE


class NewMessageBody(SamplingBody, ResponseModeBody, BusyBody, RetrievalBody):
    """A turn: the user's message and options for the reply."""

    model_config = ConfigDict(json_schema_extra={"allOf": [NOT_BOTH], "examples": [{"message": "And of Italy?"}]})

    message: MessageText

    def turn(self, key: IdempotencyKey | None) -> NewTurn:
        return NewTurn(self.message, self.sampling(), self.on_busy, key, self.retrieval)


class RegenerateBody(SamplingBody, ResponseModeBody, BusyBody, RetrievalBody):
    """Another reply to the same question."""

    model_config = ConfigDict(json_schema_extra={"allOf": [NOT_BOTH], "examples": [{"temperature": 0.5}]})

    def reply_to(self, message_id: str, key: IdempotencyKey | None) -> NewReply:
        return NewReply(message_id, self.sampling(), self.on_busy, key, self.retrieval)


class EditBody(Input):
    """A message's new text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "And of Spain?"}]})

    content: MessageText


class UsageOut(Output):
    """Tokens used; estimated from characters if the provider reported none."""

    input_tokens: int
    output_tokens: int
    estimated: bool


class FailureOut(Output):
    """Error of a failed reply."""

    code: str
    detail: str


class CitationOut(Output):
    """Source of a statement; `marker` is the n of `[n]` in the text."""

    marker: int
    document_id: Id
    document_name: str
    chunk_id: str
    page: int | None
    start: int
    end: int
    quote: str
    score: float


class RetrievalOut(Output):
    """Outcome of the document search: `degraded` is by words only, `skipped` is none."""

    status: RetrievalStatus


class MessageOut(Output):
    """A message."""

    message_id: Id
    conversation_id: Id
    role: Literal[Role.USER, Role.ASSISTANT]
    content: str
    sequence_number: int
    status: Status
    provider: str | None
    model: str | None
    finish_reason: FinishReason | None
    usage: UsageOut | None
    citations: list[CitationOut]
    grounded: bool | None
    error: FailureOut | None
    created_at: Moment
    completed_at: Moment | None
    edited_at: Moment | None
    superseded_by: Id | None
    reasoning: str | None = Field(None, description="Only with `include=reasoning`: the reasoning behind a reply.")


class TurnOut(Output):
    """A turn: its reply, null while it is unfinished, and the messages up to it."""

    conversation_id: Id
    title: str | None
    assistant_reply: str | None
    messages: list[MessageOut]


def usage_json(usage: Usage | None) -> JsonObject | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "estimated": usage.estimated,
    }


def messages_json(messages: Iterable[Message], reasoning: Mapping[str, str] | None) -> list[JsonObject]:
    """Build messages; with `reasoning`, by message id, each gets that member, which may be null."""
    if reasoning is None:
        return [message_json(each) for each in messages]
    return [message_json(each) | {"reasoning": reasoning.get(each.message_id)} for each in messages]


def message_json(message: Message) -> JsonObject:
    usage, error = message.usage, message.error
    return {
        "message_id": message.message_id,
        "conversation_id": message.conversation_id,
        "role": message.role,
        "content": message.content,
        "sequence_number": message.sequence_number,
        "status": message.status,
        "provider": message.provider,
        "model": message.model,
        "finish_reason": message.finish_reason,
        "usage": usage_json(usage),
        "citations": message.citations,
        "grounded": message.grounded,
        "error": error and {"code": error.code, "detail": error.detail},
        "created_at": rfc3339(message.created_at),
        "completed_at": rfc3339(message.completed_at),
        "edited_at": rfc3339(message.edited_at),
        "superseded_by": message.superseded_by,
    }
