from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.documents import Citation

NO_UPPER_BOUND = 2**31 - 1
"""More than any sequence number."""


class Role(StrEnum):
    """The author of a message; `system` is never stored."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Status(StrEnum):
    """A message's state; a terminal one never changes."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def terminal(self) -> bool:
        """True if it never changes any more."""
        return self not in UNFINISHED


UNFINISHED = (Status.QUEUED, Status.IN_PROGRESS)

WHITE_SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""All characters for which `str.isspace` is true, for SQL."""


def has_text(content: str) -> bool:
    """Return whether the text has more than white space: only such a reply is sent to models, or supersedes another."""
    return bool(content) and not content.isspace()


class FinishReason(StrEnum):
    """The reason for the end of a model's reply."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class Sampling:
    """The requested model and parameters; None leaves a field to the next level (turn, conversation, deployment)."""

    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The model that answers a turn, with its parameters; None leaves a parameter to the model."""

    provider: str
    model: str
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply; `estimated` if the provider did not report them."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of a failed reply: a stable code and a public sentence."""

    code: str
    detail: str
    retry_after: int | None = None
    """Seconds after which a retry may help, from the provider; not stored."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. Times in milliseconds since the Unix epoch."""

    message_id: str
    conversation_id: str
    role: Role
    content: str
    sequence_number: int
    status: Status
    created_at: int
    provider: str | None = None
    model: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    citations: Sequence[Citation] = ()
    grounded: bool | None = None
    error: Failure | None = None
    completed_at: int | None = None
    edited_at: int | None = None
    answers: int | None = None
    """Of a reply: the sequence number of the user message that it answers."""
    superseded_by: str | None = None
    """Of a reply that was regenerated: the id of the one that took its place."""
