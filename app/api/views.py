"""A turn as its caller sees it: as one answer at its end, or as events while it goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from app.api.schemas.events import EVENTS_SCHEMA
from app.api.schemas.messages import message_json
from app.api.sse import MEDIA_TYPE, event
from app.domain.messages import Message, Status
from app.errors import ConversationNotFound, TurnInterrupted, error_of
from app.services.replies import Reply
from app.services.turns import Turn

TERMINAL_EVENTS = {
    Status.COMPLETED: "message.completed",
    Status.FAILED: "message.failed",
    Status.CANCELLED: "message.cancelled",
    Status.INTERRUPTED: "message.interrupted",
}

STREAM_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `stream`: the turn's events.",
        "content": {MEDIA_TYPE: {"schema": EVENTS_SCHEMA}},
    }
}


async def ended(reply: Reply) -> Message:
    """The reply once its turn has ended well, or was cancelled.

    Raises:
        ConversationNotFound: it was deleted under the turn.
        AppError: the turn failed or was interrupted; its problem names conversation and message.
    """
    message = await reply.until_ended()
    if reply.deleted:
        raise ConversationNotFound
    members = {"conversation_id": message.conversation_id, "message_id": message.message_id}
    if message.status is Status.INTERRUPTED:
        raise TurnInterrupted(members=members)
    if message.error is not None:
        failure = error_of(message.error.code, message.error.detail)
        failure.retry_after = message.error.retry_after or failure.retry_after
        failure.members = members
        raise failure
    return message


async def events(turn: Turn) -> AsyncGenerator[bytes, None]:
    """The events of a turn from its acceptance to its end."""
    yield event("turn.started", 0, started_json(turn))
    reply, sent = turn.reply, 0
    while True:
        if reply.length > sent:
            delta = reply.text(sent)
            sent += len(delta)
            yield event("message.delta", sent, {"delta": delta})
        elif reply.ended:
            yield terminal_event(reply.message)
            return
        elif reply.closing:
            yield event("stream.closing", sent, {"message_id": reply.message.message_id})
            return
        else:
            await reply.more_than(sent)


def started_json(turn: Turn) -> dict[str, Any]:
    """What a stream begins with."""
    accepted = turn.accepted
    return {
        "conversation_id": accepted.reply.conversation_id,
        "title": accepted.title,
        "user_message": message_json(accepted.question),
        "assistant_message": message_json(accepted.reply),
    }


def terminal_event(message: Message) -> bytes:
    """The last event of a turn."""
    data: dict[str, Any] = {"message": message_json(message)}
    if message.error is not None:
        data["error"] = data["message"]["error"]
    return event(TERMINAL_EVENTS[message.status], len(message.content), data)


def wants_stream(accept: str, asked: bool) -> bool:
    """Whether a turn's caller wants events."""
    return asked or MEDIA_TYPE in accept.lower()
