"""Responses to turns: one JSON document at the end, a stream of events, or an immediate 202."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from starlette.responses import Response

from app.api.content_negotiation import prefers
from app.api.dependencies import ApiCall, ScopeParams
from app.api.error_codes import error_of
from app.api.idempotency import REPLAYED
from app.api.json_encoding import json_response
from app.api.openapi_responses import Responses, with_headers
from app.api.schemas.events import EVENTS_SCHEMA
from app.api.schemas.fields import JsonObject, Output
from app.api.schemas.messages import ResponseModeBody, citations_json, message_json, messages_json
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
"""Suffix of the last event's id, after the number of characters."""
MAX_DELTA = 16_384
"""Characters in one event, so that a slow reader of a long reply does not keep a copy of it in memory."""

EVENTS_RESPONSE: dict[str, Any] = {
    "description": "The turn's events.",
    "content": {MEDIA_TYPE: {"schema": EVENTS_SCHEMA}},
}


def responses_for(model: type[Output], *headers: str) -> Responses:
    """Describe the responses to an accepted turn for OpenAPI; `headers` name those that not every turn has."""
    replayed = "Idempotency-Replayed"
    in_background = with_headers(*dict.fromkeys((*headers, "Location")), replayed)
    return {
        200: EVENTS_RESPONSE | {"description": "With `stream`: the turn's events."} | with_headers(replayed),
        201: {"description": "The finished turn."} | with_headers(*headers, replayed),
        202: {"description": "With `background`: the accepted turn, whose reply is at `Location`.", "model": model}
        | in_background,
    }


class ResponseMode(Enum):
    """Way of responding to a turn."""

    JSON = "json"
    EVENTS = "events"
    BACKGROUND = "background"


class TurnResponse(NamedTuple):
    """A JSON document and its headers."""

    document: JsonObject
    headers: Mapping[str, str] = {}


DocumentBuilder = Callable[[Message], Awaitable[TurnResponse]]


def response_mode(accept: str, body: ResponseModeBody, *, has_turn: bool = True) -> ResponseMode:
    """Choose the mode of the response; the body's `stream` wins over the `Accept` header.

    Raises:
        InvalidRequest: both `stream` and `background`, or one of them without a turn.
    """
    explicit = "stream" in body.model_fields_set
    streamed = body.stream if explicit else prefers(accept, MEDIA_TYPE, "application/json")
    if streamed and body.background:
        raise InvalidRequest("Send either `stream` or `background`, not both.", pointer="#/stream")
    if not has_turn and (streamed or body.background):
        name = "stream" if streamed else "background"
        raise InvalidRequest(f"`{name}` needs a `message`; send one, or leave `{name}` out.", pointer=f"#/{name}")
    if body.background:
        return ResponseMode.BACKGROUND
    return ResponseMode.EVENTS if streamed else ResponseMode.JSON


async def respond(call: ApiCall[ScopeParams], turn: Turn, mode: ResponseMode, build: DocumentBuilder) -> Response:
    """Respond to a turn in the chosen mode; `build` makes the JSON document from the reply.

    Raises:
        AppError: what `finished_reply` and `build` raise.
    """
    headers = REPLAYED if turn.replayed else {}
    if mode is ResponseMode.EVENTS:
        return EventStream(turn_events(turn), headers)
    background = mode is ResponseMode.BACKGROUND
    reply = turn.reply if background else await finished_reply(turn, headers)
    response = await build_with_retry(call, reply, build)
    headers = {**response.headers, **headers, **({"Location": location(reply)} if background else {})}
    return json_response(response.document, 202 if background else 201, headers)


async def build_with_retry(call: ApiCall[ScopeParams], reply: Message, build: DocumentBuilder) -> TurnResponse:
    """Build the document of a stored reply; retry through outages, since a refused client would send its turn again.

    Raises:
        DatabaseUnavailable: the outage lasts longer than a client waits; names conversation and message.
    """
    try:
        return await call.services.turns.read_while_client_waits(functools.partial(build, reply))
    except DatabaseUnavailable as error:
        error.members = problem_members(reply)
        raise


def problem_members(message: Message) -> dict[str, str]:
    """Extension members of a problem document that identify the message it is about."""
    return {"conversation_id": message.conversation_id, "message_id": message.message_id}


async def reply_and_messages(
    reply: Message, turn: Turn, mode: ResponseMode, call: ApiCall[ScopeParams], *, minimal: bool = False
) -> JsonObject:
    """Build the members `assistant_reply` and `messages`: up to the reply, or only the turn's own if `minimal`."""
    if minimal or mode is ResponseMode.BACKGROUND:
        shown = [each for each in (turn.question, reply) if each is not None]
    else:
        shown = await call.services.messages.up_to(reply)
    return {
        "assistant_reply": reply.content if reply.status.terminal else None,
        "messages": messages_json(shown, await reasoning_of(shown, call)),
    }


async def reasoning_of(messages: Sequence[Message], call: ApiCall[ScopeParams]) -> Mapping[str, str] | None:
    """Fetch the reasoning behind messages of one conversation, by message id; None unless `include` requests it."""
    return await call.services.messages.reasoning(messages) if call.query.include_reasoning else None


def location(message: Message) -> str:
    """Path of a message."""
    return f"/conversations/{message.conversation_id}/messages/{message.message_id}"


async def finished_reply(turn: Turn, headers: Mapping[str, str]) -> Message:
    """Wait for the turn to complete or be cancelled; return its reply.

    Raises:
        ConversationNotFound: it was deleted during the turn.
        AppError: the turn failed or was interrupted; its problem names conversation and message.
    """
    message = await turn.stream.wait_finished()
    if turn.stream.deleted:
        raise ConversationNotFound
    error = reply_error(message)
    if error is not None:
        error.members = problem_members(message)
        error.headers = headers
        raise error
    return message


def reply_error(message: Message) -> AppError | None:
    """Rebuild the error that a reply ended with; None if it completed or was cancelled."""
    if message.status is Status.INTERRUPTED:
        return TurnInterrupted()
    if message.error is None:
        return None
    error = error_of(message.error.code, message.error.detail)
    error.retry_after = message.error.retry_after or error.retry_after
    return error


async def turn_events(turn: Turn, start: int = 0) -> AsyncGenerator[bytes, None]:
    """Generate the events of a turn after `start` characters of its reply; from 0, `turn.started` comes first."""
    stream, sent = turn.stream, start
    if start == 0 and stream.message.role is Role.ASSISTANT:
        yield event("turn.started", 0, started_json(turn))
        await stream.wait_for_retrieval()
        if stream.retrieval is not None:
            yield event("retrieval.completed", 0, retrieval_json(stream.retrieval))
    while True:
        if stream.closing and not stream.is_finished:
            yield event("stream.closing", sent, {"message_id": stream.message.message_id})
            return
        if stream.length > sent:
            delta = stream.text(sent, MAX_DELTA)
            sent += len(delta)
            yield event("message.delta", sent, {"delta": delta})
        elif stream.is_finished:
            yield terminal_event(stream.message)
            return
        else:
            await stream.wait_beyond(sent)


def started_json(turn: Turn) -> JsonObject:
    """Data of `turn.started`."""
    return {
        "conversation_id": turn.reply.conversation_id,
        "title": turn.title,
        "user_message": turn.question and message_json(turn.question),
        "assistant_message": message_json(as_accepted(turn.reply)),
    }


def retrieval_json(retrieval: RetrievalResult) -> JsonObject:
    """Data of `retrieval.completed`."""
    return {
        "citations": citations_json(retrieval.candidates),
        "queries": retrieval.queries,
        "retrieval": {"status": retrieval.status},
    }


def terminal_event(message: Message) -> bytes:
    """Last event of a turn; its id ends in `-end`, so that a reader who has it does not reconnect."""
    data: JsonObject = {"message": message_json(message)}
    if message.error is not None:
        data["error"] = data["message"]["error"]
    return event(TERMINAL_EVENTS[message.status], f"{len(message.content)}{END}", data)
