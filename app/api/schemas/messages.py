from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
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
from app.domain.documents import Citation
from app.domain.idempotency import IdempotencyKey
from app.domain.messages import FinishReason, Message, Role, Sampling, Status, Usage
from app.domain.retrieval import RetrievalMode, RetrievalStatus
from app.domain.turns import NewReply, NewTurn, OnBusy


class SamplingBody(Input):
    """Model and sampling parameters; defaults come from the conversation, then from the deployment."""

    provider: ProviderName | None = Field(None, description="Provider, by a name that `GET /models` lists.")
    model: ProviderName | None = Field(None, description="Model of the provider.")
    temperature: Temperature | None = Field(
        None, description="Sampling temperature, 0 to 2; low values make replies more alike."
    )
    max_tokens: MaxTokens | None = Field(None, description="Maximum tokens of the reply.")

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
    """Mode of the response: JSON at the end of the turn, a stream of events, or 202 at once."""

    model_config = ConfigDict(json_schema_extra={"allOf": [NOT_BOTH]})

    stream: Flag = Field(False, description="True: stream the turn's events. Without it the `Accept` header decides.")
    background: Flag = Field(
        False, description="True: respond with 202 at once; poll the reply at `Location` or follow its events."
    )


class RetrievalBody(Input):
    """Document search for this turn, in rag mode; no effect in open mode."""

    retrieval: RetrievalMode = Field(
        RetrievalMode.AUTO, description="`auto`: search if the message needs it; `always` or `never`."
    )


class BusyBody(Input):
    """Handling of a turn while an earlier one of its conversation is unfinished."""

    on_busy: OnBusy = Field(
        OnBusy.QUEUE,
        description="`queue`: wait; `reject`: 409 conversation-busy; `interrupt`: cancel the unfinished turns.",
    )


class NewMessageBody(SamplingBody, ResponseModeBody, BusyBody, RetrievalBody):
    """A turn: the user's message and options for the reply."""

    model_config = ConfigDict(json_schema_extra={"allOf": [NOT_BOTH], "examples": [{"message": "And of Italy?"}]})

    message: MessageText = Field(description="The user's message.")

    def turn(self, key: IdempotencyKey | None) -> NewTurn:
        return NewTurn(self.message, self.sampling(), self.on_busy, key, self.retrieval)


class RegenerateBody(SamplingBody, ResponseModeBody, BusyBody, RetrievalBody):
    """Options for another reply to the same question."""

    model_config = ConfigDict(json_schema_extra={"allOf": [NOT_BOTH], "examples": [{"temperature": 0.5}]})

    def reply_to(self, message_id: str, key: IdempotencyKey | None) -> NewReply:
        return NewReply(message_id, self.sampling(), self.on_busy, key, self.retrieval)


class EditBody(Input):
    """A message's new text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "And of Spain?"}]})

    content: MessageText = Field(description="The new text.")


class UsageOut(Output):
    """Tokens used; estimated from the text if the provider reported none."""

    input_tokens: int
    output_tokens: int
    estimated: bool


class FailureOut(Output):
    """Error of a failed reply."""

    code: str = Field(description="Stable code, as of a problem document.")
    detail: str = Field(description="The cause, and what to do about it.")


class CitationOut(Output):
    """Source of a statement in a reply; `marker` is the n of `[n]` in its text."""

    marker: int
    document_id: Id
    document_name: str
    chunk_id: str = Field(description="Id of the cited chunk.")
    document_created_at: Moment | None = Field(
        description="Upload of the document: versions of one name differ in it; null in replies of older releases."
    )
    page: int | None = Field(description="First page; null if the document has no pages.")
    page_end: int | None = Field(description="Last page; null if it is not known.")
    start: int = Field(description="Position of the quote's first character in the document's text.")
    end: int = Field(description="Position after its last character.")
    quote: str
    score: float = Field(description="Relevance to the question; higher is better.")


class RetrievalOut(Output):
    """Outcome of the document search: `degraded` searched by words only, `skipped` did not search."""

    status: RetrievalStatus


class MessageOut(Output):
    """A message."""

    message_id: Id
    conversation_id: Id
    role: Literal[Role.USER, Role.ASSISTANT]
    content: str
    sequence_number: int = Field(description="Position in the conversation: 1, 2, 3 …")
    status: Status
    provider: str | None
    model: str | None
    finish_reason: FinishReason | None = Field(
        description="Reason why a completed reply ended; null for other messages."
    )
    usage: UsageOut | None
    citations: list[CitationOut] = Field(description="Sources of a reply in rag mode.")
    grounded: bool | None = Field(description="True if the reply has citations; null outside of rag mode.")
    error: FailureOut | None = Field(description="Reason why a reply failed.")
    created_at: Moment
    completed_at: Moment | None
    edited_at: Moment | None = Field(description="Time of the last edit.")
    superseded_by: Id | None = Field(description="Reply that replaces this one, since it was regenerated.")
    reasoning: str | None = Field(None, description="Reasoning behind a reply; only with `include=reasoning`.")


class TurnOut(Output):
    """A turn: its reply, which is null while unfinished, and the messages up to it."""

    conversation_id: Id
    title: str | None
    assistant_reply: str | None = Field(description="Text of the reply.")
    messages: list[MessageOut]


def usage_json(usage: Usage | None) -> JsonObject | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "estimated": usage.estimated,
    }


def citations_json(citations: Sequence[Citation]) -> list[JsonObject]:
    return [asdict(each) | {"document_created_at": rfc3339(each.document_created_at)} for each in citations]


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
        "citations": citations_json(message.citations),
        "grounded": message.grounded,
        "error": error and {"code": error.code, "detail": error.detail},
        "created_at": rfc3339(message.created_at),
        "completed_at": rfc3339(message.completed_at),
        "edited_at": rfc3339(message.edited_at),
        "superseded_by": message.superseded_by,
    }
