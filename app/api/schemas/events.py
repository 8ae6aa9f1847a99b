"""The events of streams, for the OpenAPI document; `app/api/views.py` and `routes/documents.py` write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.api.schemas.documents import DocumentOut
from app.api.schemas.fields import Output
from app.api.schemas.messages import CitationOut, FailureOut, MessageOut, RetrievalOut


class TurnStarted(Output):
    """`event: turn.started`: the turn is accepted, its message stored."""

    conversation_id: str
    title: str | None
    user_message: MessageOut | None
    assistant_message: MessageOut


class RetrievalCompleted(Output):
    """`event: retrieval.completed`: what was found for the reply, before its first character; in rag mode alone."""

    citations: list[CitationOut]
    queries: list[str]
    retrieval: RetrievalOut


class MessageDelta(Output):
    """`event: message.delta`: more text; the event's id counts the characters sent so far."""

    delta: str


class MessageEnded(Output):
    """`event: message.completed`, `.failed`, `.cancelled` or `.interrupted`: always the last event."""

    message: MessageOut
    error: FailureOut | None = None


class StreamClosing(Output):
    """`event: stream.closing`: this server is going away; the turn is not lost."""

    message_id: str


class DocumentSeen(Output):
    """`event: document.progress`, then `document.ready` or `document.failed`, which is the last event."""

    document: DocumentOut


class DocumentStreamClosing(Output):
    """`event: stream.closing`: this server is going away; follow the document elsewhere."""

    document_id: str


EVENT_MODELS = (TurnStarted, RetrievalCompleted, MessageDelta, MessageEnded, StreamClosing)
DOCUMENT_EVENT_MODELS = (DocumentSeen, DocumentStreamClosing)


def one_of(models: Iterable[type[Output]]) -> dict[str, Any]:
    """The schema of what is one of several."""
    return {"oneOf": [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]}


EVENTS_SCHEMA = one_of(EVENT_MODELS)
DOCUMENT_EVENTS_SCHEMA = one_of(DOCUMENT_EVENT_MODELS)
