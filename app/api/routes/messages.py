from __future__ import annotations

import functools
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from app.api import pagination, turn_responses
from app.api.dependencies import ApiCall, Call, IncludeCall, IncludeParams, ScopeParams, call_with
from app.api.idempotency import key_of
from app.api.json_encoding import json_response
from app.api.openapi_responses import TURN, Responses, refusals, with_headers
from app.api.schemas.deletion import Deleted
from app.api.schemas.fields import MAX_INTEGER, Limit
from app.api.schemas.headers import Headers
from app.api.schemas.messages import (
    EditBody,
    MessageOut,
    NewMessageBody,
    RegenerateBody,
    TurnOut,
    message_json,
    messages_json,
)
from app.api.sse import NOTHING_MORE, EventStream, nothing_more
from app.domain.messages import Message
from app.errors import (
    AlreadyFinished,
    CannotRegenerate,
    ConversationNotFound,
    DatabaseUnavailable,
    InvalidRequest,
    MessageNotFound,
    MessageTooLong,
    TurnUnfinished,
)
from app.services.messages import PAGE_SIZE, MessageRange
from app.services.turns.reservation import Turn

router = APIRouter(tags=["messages"], prefix="/conversations/{conversation_id}/messages")

TURN_RESPONSES = turn_responses.responses_for(TurnOut, "Preference-Applied")
LISTED: Responses = {200: {"description": "A page of messages."} | with_headers("Link")}
EVENTS: Responses = {200: turn_responses.EVENTS_RESPONSE, **NOTHING_MORE}
ONE = (ConversationNotFound, MessageNotFound, DatabaseUnavailable)

Position = Annotated[str, StringConstraints(pattern="^[0-9]{1,18}$")]
"""A number of characters: digits only."""
LastEventId = Annotated[str, StringConstraints(pattern="^([0-9]{1,18}(-end)?)?$")]
"""A position, the id of the last event, or empty."""
SequenceNumber = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class MessageFilters(IncludeParams):
    """Query parameters of the list of messages; `after` and `before` are exclusive."""

    limit: Limit = Field(PAGE_SIZE, description="Maximum number of messages on a page, 1 to 100.")
    after: SequenceNumber = Field(0, description="Only messages with a higher sequence number.")
    before: SequenceNumber = Field(MAX_INTEGER, description="Only messages with a lower sequence number.")
    order: Literal["asc", "desc"] = Field("asc", description="`asc`: oldest first; `desc`: newest first.")


class ResumeParams(ScopeParams):
    """Query parameters of a message's events: resume after so many characters."""

    starting_after: Position = Field("0", description="Characters already received; the header `Last-Event-ID` wins.")


ListCall = Annotated[ApiCall[MessageFilters], Depends(call_with(MessageFilters))]
ResumeCall = Annotated[ApiCall[ResumeParams], Depends(call_with(ResumeParams))]


@router.post("", status_code=201, response_model=TurnOut, responses=TURN_RESPONSES | refusals(*TURN))
async def post_message(conversation_id: UUID, body: NewMessageBody, call: IncludeCall, headers: Headers) -> Response:
    """Run a turn: store the message, call the model, and return its reply or stream it."""
    mode = turn_responses.response_mode(headers.accepted, body)
    key = key_of(headers.idempotency_key, f"/conversations/{conversation_id}/messages", body)
    turn = await call.services.turns.accept(call.principal, str(conversation_id), body.turn(key))
    build = functools.partial(build_document, call, turn, mode, headers.minimal)
    return await turn_responses.respond(call, turn, mode, build)


@router.post(
    "/{message_id}/regenerate",
    summary="Regenerate a reply",
    status_code=201,
    response_model=TurnOut,
    responses=TURN_RESPONSES | refusals(*TURN, MessageNotFound, TurnUnfinished, CannotRegenerate),
)
async def regenerate(
    conversation_id: UUID, message_id: UUID, body: RegenerateBody, call: IncludeCall, headers: Headers
) -> Response:
    """Generate another reply to the last question; once it has text, it replaces the old one."""
    mode = turn_responses.response_mode(headers.accepted, body)
    path = f"/conversations/{conversation_id}/messages/{message_id}/regenerate"
    new_reply = body.reply_to(str(message_id), key_of(headers.idempotency_key, path, body))
    turn = await call.services.turns.regenerate(call.principal, str(conversation_id), new_reply)
    build = functools.partial(build_document, call, turn, mode, headers.minimal)
    return await turn_responses.respond(call, turn, mode, build)


async def build_document(
    call: ApiCall[ScopeParams], turn: Turn, mode: turn_responses.ResponseMode, minimal: bool, reply: Message
) -> turn_responses.TurnResponse:
    """Build the response to a turn: its reply and the messages up to it, or only the turn's two if `minimal`."""
    messages = await turn_responses.reply_and_messages(reply, turn, mode, call, minimal=minimal)
    document = {"conversation_id": reply.conversation_id, "title": turn.title} | messages
    return turn_responses.TurnResponse(document, {"Preference-Applied": "return=minimal"} if minimal else {})


@router.get(
    "",
    response_model=list[MessageOut],
    responses=LISTED | refusals(ConversationNotFound, DatabaseUnavailable),
)
async def list_messages(request: Request, conversation_id: UUID, call: ListCall) -> Response:
    """List messages by sequence number, between `after` and `before`."""
    filters = call.query
    descending = filters.order == "desc"
    bounds = MessageRange(filters.after, filters.before, filters.limit + 1, descending)
    messages = await call.services.messages.page(call.principal, str(conversation_id), bounds)
    page = messages[: filters.limit]
    headers = next_page(request, page[-1], descending=descending) if len(messages) > filters.limit else {}
    return json_response(messages_json(page, await turn_responses.reasoning_of(page, call)), 200, headers)


def next_page(request: Request, last: Message, *, descending: bool) -> dict[str, str]:
    """Build the `Link` to the messages after the last one of a page."""
    bound = "before" if descending else "after"
    return pagination.next_link(request, **{bound: last.sequence_number})


@router.get("/{message_id}", response_model=MessageOut, responses=refusals(*ONE))
async def get_message(conversation_id: UUID, message_id: UUID, call: IncludeCall) -> Response:
    """Get a message."""
    message = await call.services.messages.get(call.principal, str(conversation_id), str(message_id))
    [shown] = messages_json([message], await turn_responses.reasoning_of([message], call))
    return json_response(shown)


@router.get(
    "/{message_id}/events",
    summary="Stream a message's events",
    response_class=Response,
    responses=EVENTS | refusals(*ONE),
)
async def resume(
    conversation_id: UUID,
    message_id: UUID,
    call: ResumeCall,
    last_event_id: Annotated[LastEventId, Header(description="Id of the last event received.")] = "",
) -> Response:
    """Stream a message's events from any character on: stored text, then new text, then the last event.

    `Last-Event-ID` wins over `starting_after`; both count the characters already received. With the id of the last
    event the response is 204: there is nothing more.
    """
    turn = await call.services.turns.follow(call.principal, str(conversation_id), str(message_id))
    if last_event_id.endswith(turn_responses.END):
        if turn.reply.status.terminal:
            return nothing_more()
        raise InvalidRequest(
            "The message has not ended; send the number of characters received, without `-end`.",
            pointer="header/last-event-id",
        )
    return EventStream(turn_responses.turn_events(turn, int(last_event_id or call.query.starting_after)))


@router.post(
    "/{message_id}/cancel",
    summary="Cancel a reply",
    status_code=202,
    response_model=MessageOut,
    responses=refusals(*ONE, AlreadyFinished),
)
async def cancel(conversation_id: UUID, message_id: UUID, call: Call) -> Response:
    """Cancel a reply within a second, in any process; its text so far is kept."""
    message = await call.services.turns.cancel(call.principal, str(conversation_id), str(message_id))
    return json_response(message_json(message), 202)


@router.put("/{message_id}", response_model=MessageOut, responses=refusals(*ONE, TurnUnfinished, MessageTooLong))
async def edit_message(conversation_id: UUID, message_id: UUID, body: EditBody, call: Call) -> Response:
    """Edit a user's message; models receive the new text from the next turn on."""
    message = await call.services.messages.edit(call.principal, str(conversation_id), str(message_id), body.content)
    return json_response(message_json(message))


@router.delete("/{message_id}", response_model=Deleted, responses=refusals(*ONE, TurnUnfinished))
async def delete_message(conversation_id: UUID, message_id: UUID, call: Call) -> Response:
    """Delete a message from lists and later prompts; its sequence number is not reused."""
    await call.services.messages.delete(call.principal, str(conversation_id), str(message_id))
    return json_response({"detail": f"Message {message_id} deleted successfully"})
