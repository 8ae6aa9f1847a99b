from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.messages import Sampling


class Mode(StrEnum):
    """The source of replies: the model alone, or passages of the user's documents."""

    OPEN = "open"
    RAG = "rag"


class TitleSource(StrEnum):
    """The author of a title: taken from the first message, written by a model, or set by the user."""

    MESSAGE = "message"
    MODEL = "model"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation. Times in milliseconds since the Unix epoch."""

    conversation_id: str
    user_id: str
    title: str | None
    title_source: str | None
    mode: str
    system_prompt: str | None
    sampling: Sampling
    document_ids: list[str] | None
    metadata: Mapping[str, str]
    message_count: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class NewConversation:
    """A request to create a conversation."""

    title: str | None = None
    mode: Mode = Mode.OPEN
    system_prompt: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    document_ids: list[str] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
