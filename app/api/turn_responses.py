"""A turn as its caller sees it: as one answer at its end, or as events while it goes on."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from starlette.responses import Response

from app.api.content_negotiation import prefers
from app.api.dependencies import Caller, json_response
from app.api.error_codes import error_of
from app.api.idempotency import REPLAYED
from app.api.openapi_responses import Responses, with_headers
from app.api.schemas.events import EVENTS_SCHEMA
from app.api.schemas.fields import JsonObject, Output
from app.api.schemas.messages import AnswerBody, message_json, messages_json
from app.api.sse import MEDIA_TYPE, EventStream, event
from app.domain.messages import Message, Role, Status
from app.domain.retrieval import RetrievalResult
from app.domain.turns import as_accepted
from app.errors import AppError, ConversationNotFound, DatabaseUnavailable, InvalidRequest, TurnInterrupted
from app.services.turns.reservation import Turn

TERMINAL_EVENTS = {
    Status.COMPLETED: "message.completed",
    Status.FAILED: "message.failed",
    Status.CANCELLED: "message.cancelled",
    Status.INTERRUPTED: "message.interrupted",
}

END = "-end"
"""Suffix of the last event's id, behind the number of characters."""
MAX_DELTA = 16_384
"""Characters in one event: a slow reader of a long reply is given it in pieces, not kept a copy of it."""

EVENTS_RESPONSE: dict[str, Any] = {
    "description": "The turn's events.",
    "content": {MEDIA_TYPE: {"schema": EVENTS_SCHEMA}},
}


def turn_responses(model: type[Output], *names: str) -> Responses:
    """Describe the answers to an accepted turn; `names` are of headers that not every turn has."""
    replayed = "Idempotency-Replayed"
    in_background = with_headers(*dict.fromkeys((*names, "Location")), replayed)
    return {
        200: EVENTS_RESPONSE | {"description": "With `stream`: the turn's events."} | with_headers(replayed),
        201: {"description": "The turn at its end."} | with_headers(*names, replayed),
        202: {"description": "With `background`: the turn as it was accepted.", "model": model} | in_background,
    }


class ResponseMode(Enum):
    """How a turn is answered."""

    JSON = "json"
    EVENTS = "events"
    BACKGROUND = "background"


class TurnResponse(NamedTuple):
    """A JSON document, and the headers that go with it."""

    document: JsonObject
    headers: Mapping[str, str] = {}


def form_of(accept: str, body: AnswerBody, *, has_turn: bool = True) -> ResponseMode:
    """Choose the form in which a turn's caller wants it answered; the body's `stream` wins over `Accept`.

    Raises:
        InvalidRequest: in two ways at once, or where there is no turn.
    """
    named = "stream" in body.model_fields_set
    streamed = body.stream if named else prefers(accept, MEDIA_TYPE, "application/json")
    if streamed and body.background:
        raise InvalidRequest("A turn in the background is not streamed: follow its reply's events.", pointer="#/stream")
    if not has_turn and (streamed or body.background):
        pointer = "#/stream" if streamed else "#/background"
        raise InvalidRequest("There is nothing to answer without a message.", pointer=pointer)
    if body.background:
        return ResponseMode.BACKGROUND
    return ResponseMode.EVENTS if streamed else ResponseMode.JSON


async def answer(
    call: Caller, turn: Turn, form: ResponseMode, document: Callable[[Message], Awaitable[TurnResponse]]
) -> Response:
    """The response to whoever asked for a turn; `document` is what it answers with when the reply has ended."""
    headers = REPLAYED if turn.replayed else {}
    if form is ResponseMode.EVENTS:
        return EventStream(events(turn), headers)
    reply = turn.reply if form is ResponseMode.BACKGROUND else await ended(turn, headers)
    found = await written(call, reply, document)
    status = 202 if form is ResponseMode.BACKGROUND else 201
    where = {"Location": location(reply)} if form is ResponseMode.BACKGROUND else {}
    return json_response(found.document, status, {**found.headers, **headers, **where})


async def written(call: Caller, reply: Message, document: Callable[[Message], Awaitable[TurnResponse]]) -> TurnResponse:
    """The answer with a reply that is stored, whose turn a caller who is refused it would ask for again.

    Raises:
        DatabaseUnavailable: it cannot be read for as long as a client waits; names conversation and message.
    """
    try:
        return await call.services.turns.read_while_client_waits(functools.partial(document, reply))
    except DatabaseUnavailable as error:
        error.members = members_of(reply)
        raise


def members_of(message: Message) -> dict[str, str]:
    """The members of a problem that say which message it is about."""
    return {"conversation_id": message.conversation_id, "message_id": message.message_id}


async def messages_up_to(
    reply: Message, turn: Turn, form: ResponseMode, call: Caller, *, minimal: bool = False
) -> JsonObject:
    """The members of a turn's answer that hold its reply and the messages up to it, or only those of the turn."""
    if minimal or form is ResponseMode.BACKGROUND:
        shown = [each for each in (turn.question, reply) if each is not None]
    else:
        shown = await call.services.messages.window(reply)
    return {
        "assistant_reply": reply.content if reply.status.terminal else None,
        "messages": messages_json(shown, await reasoning_of(shown, call)),
    }


async def reasoning_of(messages: Sequence[Message], call: Caller) -> Mapping[str, str] | None:
    """The thinking behind the replies among these messages of one conversation, where the caller wants it."""
    return await call.services.messages.reasoning(messages) if call.reasoning else None


def location(message: Message) -> str:
    """Where a message is."""
    return f"/conversations/{message.conversation_id}/messages/{message.message_id}"


async def ended(turn: Turn, headers: Mapping[str, str]) -> Message:
    """The reply once its turn has ended well, or was cancelled.

    Raises:
        ConversationNotFound: it was deleted under the turn.
        AppError: the turn failed or was interrupted; its problem names conversation and message.
    """
    message = await turn.stream.wait_finished()
    if turn.stream.deleted:
        raise ConversationNotFound
    failure = failure_of(message)
    if failure is not None:
        failure.members = members_of(message)
        failure.headers = headers
        raise failure
    return message


def failure_of(message: Message) -> AppError | None:
    """Why a reply did not end well, if it did not."""
    if message.status is Status.INTERRUPTED:
        return TurnInterrupted()
    if message.error is None:
        return None
    failure = error_of(message.error.code, message.error.detail)
    failure.retry_after = message.error.retry_after or failure.retry_after
    return failure


async def events(turn: Turn, start: int = 0) -> AsyncGenerator[bytes, None]:
    """The events of a turn from a number of characters on to its end; from 0, its acceptance comes first."""
    stream, sent = turn.stream, start
    if start == 0 and stream.message.role is Role.ASSISTANT:
        yield event("turn.started", 0, started_json(turn))
        await stream.wait_for_retrieval()
        if stream.retrieval is not None:
            yield event("retrieval.completed", 0, retrieval_json(stream.retrieval))
    while True:
        if stream.closing and not stream.ended:
            yield event("stream.closing", sent, {"message_id": stream.message.message_id})
            return
        if stream.length > sent:
            delta = stream.text(sent, MAX_DELTA)
            sent += len(delta)
            yield event("message.delta", sent, {"delta": delta})
        elif stream.ended:
            yield terminal_event(stream.message)
            return
        else:
            await stream.wait_beyond(sent)


def started_json(turn: Turn) -> dict[str, Any]:
    """What a stream begins with."""
    return {
        "conversation_id": turn.reply.conversation_id,
        "title": turn.title,
        "user_message": turn.question and message_json(turn.question),
        "assistant_message": message_json(as_accepted(turn.reply)),
    }


def retrieval_json(retrieval: RetrievalResult) -> JsonObject:
    """What was looked up for a reply, and what it may cite of that."""
    return {
        "citations": retrieval.candidates,
        "queries": retrieval.queries,
        "retrieval": {"status": retrieval.status},
    }


def terminal_event(message: Message) -> bytes:
    """The last event of a turn, whose id says that it was the last."""
    data: dict[str, Any] = {"message": message_json(message)}
    if message.error is not None:
        data["error"] = data["message"]["error"]
    return event(TERMINAL_EVENTS[message.status], f"{len(message.content)}{END}", data)
