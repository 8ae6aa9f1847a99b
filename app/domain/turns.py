from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from app.domain.idempotency import IdempotencyKey
from app.domain.messages import Message, ResolvedModel, Sampling, Status
from app.domain.retrieval import RetrievalMode, RetrievalRequest

MAX_UNFINISHED = 64
"""Number of turns of one conversation that may be unfinished at once."""


class OnBusy(StrEnum):
    """Handling of a new turn while an earlier one of its conversation is unfinished."""

    QUEUE = "queue"
    REJECT = "reject"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A requested turn: a message, and the model that is to answer it."""

    message: str
    sampling: Sampling = field(default_factory=Sampling)
    on_busy: OnBusy = OnBusy.QUEUE
    key: IdempotencyKey | None = None
    retrieval: RetrievalMode = RetrievalMode.AUTO


@dataclass(frozen=True, slots=True)
class NewReply:
    """A requested regeneration: another reply to the same question."""

    message_id: str
    """The reply to supersede."""
    sampling: Sampling = field(default_factory=Sampling)
    on_busy: OnBusy = OnBusy.QUEUE
    key: IdempotencyKey | None = None
    retrieval: RetrievalMode = RetrievalMode.AUTO


class HistoryMessage(NamedTuple):
    """An earlier message, as far as a prompt needs it."""

    sequence_number: int
    content: str
    answers: int | None
    """The sequence number of the question that a reply answers; None for a user's message."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary of the messages of a conversation from the first to `last`."""

    summary_id: str
    last: int
    """A sequence number."""
    content: str


@dataclass(frozen=True, slots=True)
class History:
    """The input of a turn: the system prompt, and the messages in sequence order up to the question."""

    system_prompt: str | None
    messages: Sequence[HistoryMessage]
    summary: Summary | None = None
    """A summary of messages that are not among `messages`."""
    dropped_up_to: int = 0
    """The sequence number up to which older messages were not read, being too many; 0 where all were."""


@dataclass(frozen=True, slots=True)
class AcceptedTurn:
    """A turn that was stored to run in this process."""

    title: str | None
    """Of its conversation."""
    question: Message
    reply: Message
    """Queued or in progress."""
    resolved: ResolvedModel
    owner_id: str
    """The id of the user's row."""
    retrieval_request: RetrievalRequest | None = None
    """The documents that may be searched; None in an open conversation."""
    interrupts: Sequence[str] = ()
    """The ids of the replies that are cancelled for it."""
    history: History | None = None
    """None if the turn is queued: its history is read when it starts."""


def as_accepted(reply: Message) -> Message:
    """Return a reply as it was before its first character, for a stream of its text."""
    return replace(
        reply,
        status=reply.status if reply.status is Status.QUEUED else Status.IN_PROGRESS,
        content="",
        finish_reason=None,
        usage=None,
        citations=(),
        grounded=None if reply.grounded is None else False,
        error=None,
        completed_at=None,
    )
