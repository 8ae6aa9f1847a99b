from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from app.domain.messages import Failure, FinishReason, Message, Sampling, Status, Usage

MAX_UNFINISHED = 64
"""Turns of one conversation that may be unfinished at once."""


@dataclass(frozen=True, slots=True)
class NewTurn:
    """What a caller asks: a message, and which model should answer it how."""

    message: str
    sampling: Sampling = field(default_factory=Sampling)


HistoryMessage: TypeAlias = tuple[int, str, int | None]
"""An earlier message, as much of it as a model may need.

Its sequence number, its content and, for a reply, the sequence number of the message that it answers.
"""


@dataclass(frozen=True, slots=True)
class History:
    """What a turn starts from: the system prompt, and earlier messages in sequence order up to the question."""

    system_prompt: str | None
    messages: Sequence[HistoryMessage]


@dataclass(frozen=True, slots=True)
class AcceptedTurn:
    """A turn whose question is stored; `sampling` is settled, with no None for provider and model."""

    title: str | None
    question: Message
    reply: Message
    sampling: Sampling
    history: History | None = None
    """What it starts from, when it has started at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended; `text` is all of the reply."""

    status: Status
    text: str
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: Failure | None = None
