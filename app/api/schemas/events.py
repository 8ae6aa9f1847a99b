"""Stream events for the OpenAPI document; `app/api/turn_responses.py` and `routes/documents.py` send them.

The models describe their data. OpenAPI 3.1 has no keyword for the items of a stream: the schema of `text/event-stream`
is that of one event, an object of its fields as WHATWG HTML (section 9.2) names them, whose `data` is JSON in a string.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.api.schemas.documents import DocumentOut
from app.api.schemas.fields import Id, Output
from app.api.schemas.messages import CitationOut, FailureOut, MessageOut, RetrievalOut


class TurnStarted(Output):
    """`event: turn.started`: the turn is accepted and its message stored."""

    conversation_id: Id
    title: str | None
    user_message: MessageOut | None
    assistant_message: MessageOut


class RetrievalCompleted(Output):
    """`event: retrieval.completed`: the retrieval result, before the reply's first character; in rag mode only."""

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
    """`event: stream.closing`: this process shuts down; the turn continues; reconnect with the last id."""

    message_id: Id


class DocumentSeen(Output):
    """`event: document.progress`, then `document.ready` or `document.failed`, which is the last event."""

    document: DocumentOut


class DocumentStreamClosing(Output):
    """`event: stream.closing`: this process shuts down; reconnect to follow the document."""

    document_id: Id


EVENT_NAMES: dict[type[Output], list[str]] = {
    TurnStarted: ["turn.started"],
    RetrievalCompleted: ["retrieval.completed"],
    MessageDelta: ["message.delta"],
    MessageEnded: ["message.completed", "message.failed", "message.cancelled", "message.interrupted"],
    StreamClosing: ["stream.closing"],
}
DOCUMENT_EVENT_NAMES: dict[type[Output], list[str]] = {
    DocumentSeen: ["document.progress", "document.ready", "document.failed"],
    DocumentStreamClosing: ["stream.closing"],
}
EVENT_IDS: dict[type[Output], str] = {MessageEnded: "^[0-9]+-end$", DocumentSeen: "^(0|end)$"}
"""Patterns of ids other than a number of characters."""


def event_schemas(names: dict[type[Output], list[str]]) -> dict[str, Any]:
    """Build the schemas of events, named for their models; the model's own schema is `…Data`."""
    return {model.__name__: event_schema(model, names[model]) for model in names}


def event_schema(model: type[Output], names: list[str]) -> dict[str, Any]:
    """Build the schema of an event with one of these names and a model's data."""
    content = {"$ref": f"#/components/schemas/{model.__name__}Data"}
    return {
        "type": "object",
        "title": model.__name__,
        "description": model.__doc__,
        "required": ["id", "event", "data"],
        "properties": {
            "id": {"type": "string", "pattern": EVENT_IDS.get(model, "^[0-9]+$")},
            "event": {"type": "string", "enum": names},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": content},
        },
    }


def one_of(models: Iterable[type[Output]]) -> dict[str, Any]:
    return {"oneOf": [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]}


EVENTS_SCHEMA = one_of(EVENT_NAMES)
DOCUMENT_EVENTS_SCHEMA = one_of(DOCUMENT_EVENT_NAMES)
