from __future__ import annotations

import functools
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from app.api import pagination, turn_responses
from app.api.dependencies import Call, Caller, ReadingCall, Scope, Shown, json_response, services_of
from app.api.idempotency import key_of
from app.api.openapi_responses import TURN, Responses, refusals, with_headers
from app.api.routes.conversations import Deleted
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
from app.domain.principals import Principal
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
from app.services.messages import WINDOW, MessageRange
from app.services.turns.reservation import Turn

router = APIRouter(tags=["messages"], prefix="/conversations/{conversation_id}/messages")

TURN_RESPONSES = turn_responses.turn_responses(TurnOut, "Preference-Applied")
LISTED: Responses = {200: {"description": "A page."} | with_headers("Link")}
EVENTS: Responses = {200: turn_responses.EVENTS_RESPONSE, **NOTHING_MORE}
ONE = (ConversationNotFound, MessageNotFound, DatabaseUnavailable)

Position = Annotated[str, StringConstraints(pattern="^[0-9]{1,18}$")]
"""A number of characters, as text: a float or a sign is none."""
LastEventId = Annotated[str, StringConstraints(pattern="^([0-9]{1,18}(-end)?)?$")]
"""A position, that of the end, or nothing."""
SequenceNumber = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class MessageFilters(Shown):
    """Which messages, by sequence number."""

    limit: Limit = WINDOW
    after: SequenceNumber = 0
    before: SequenceNumber = MAX_INTEGER
    order: Literal["asc", "desc"] = "asc"


class Place(Scope):
    """From where on events are wanted."""

    starting_after: Position = "0"


@router.post("", status_code=201, response_model=TurnOut, responses=TURN_RESPONSES | refusals(*TURN))
async def post_message(conversation_id: UUID, body: NewMessageBody, call: ReadingCall, headers: Headers) -> Response:
    """Runs a turn: stores the message, asks the model, answers with its reply or streams it."""
    form = turn_responses.form_of(headers.accepted, body)
    key = key_of(headers.idempotency_key, f"/conversations/{conversation_id}/messages", body)
    turn = await call.services.turns.begin(call.who, str(conversation_id), body.turn(key))
    document = functools.partial(turn_document, call, turn, form, headers.minimal)
    return await turn_responses.answer(call, turn, form, document)


@router.post(
    "/{message_id}/regenerate",
    status_code=201,
    response_model=TurnOut,
    responses=TURN_RESPONSES | refusals(*TURN, MessageNotFound, TurnUnfinished, CannotRegenerate),
)
async def regenerate(
    conversation_id: UUID, message_id: UUID, body: RegenerateBody, call: ReadingCall, headers: Headers
) -> Response:
    """Answers the question of the conversation's last reply once more; it is superseded once the new one has text."""
    form = turn_responses.form_of(headers.accepted, body)
    path = f"/conversations/{conversation_id}/messages/{message_id}/regenerate"
    asked = body.reply_to(str(message_id), key_of(headers.idempotency_key, path, body))
    turn = await call.services.turns.regenerate(call.who, str(conversation_id), asked)
    document = functools.partial(turn_document, call, turn, form, headers.minimal)
    return await turn_responses.answer(call, turn, form, document)


async def turn_document(
    call: Caller, turn: Turn, form: turn_responses.ResponseMode, minimal: bool, reply: Message
) -> turn_responses.TurnResponse:
    """What a turn is answered with: its reply and the messages up to it, or only the two of this turn."""
    messages = await turn_responses.messages_up_to(reply, turn, form, call, minimal=minimal)
    document = {"conversation_id": reply.conversation_id, "title": turn.title} | messages
    return turn_responses.TurnResponse(document, {"Preference-Applied": "return=minimal"} if minimal else {})


@router.get(
    "",
    response_model=list[MessageOut],
    responses=LISTED | refusals(ConversationNotFound, DatabaseUnavailable),
)
async def list_messages(
    request: Request,
    conversation_id: UUID,
    filters: Annotated[MessageFilters, Query()],
) -> Response:
    """Messages by sequence number, those between `after` and `before`."""
    descending = filters.order == "desc"
    between = MessageRange(filters.after, filters.before, filters.limit + 1, descending)
    call = Caller(Principal(filters.user_id), services_of(request), filters.include is not None)
    found = await call.services.messages.page(call.who, str(conversation_id), between)
    page = found[: filters.limit]
    headers = next_page(request, page[-1], descending=descending) if len(found) > filters.limit else {}
    return json_response(messages_json(page, await turn_responses.reasoning_of(page, call)), 200, headers)


def next_page(request: Request, last: Message, *, descending: bool) -> dict[str, str]:
    """The header that points behind the last message of a page."""
    bound = "before" if descending else "after"
    return pagination.next_link(request, **{bound: last.sequence_number})


@router.get("/{message_id}", response_model=MessageOut, responses=refusals(*ONE))
async def get_message(conversation_id: UUID, message_id: UUID, call: ReadingCall) -> Response:
    """One message."""
    message = await call.services.messages.get(call.who, str(conversation_id), str(message_id))
    [shown] = messages_json([message], await turn_responses.reasoning_of([message], call))
    return json_response(shown)


@router.get("/{message_id}/events", response_class=Response, responses=EVENTS | refusals(*ONE))
async def resume(
    request: Request,
    conversation_id: UUID,
    message_id: UUID,
    place: Annotated[Place, Query()],
    last_event_id: Annotated[LastEventId, Header()] = "",
) -> Response:
    """A message's events from any character on: what is there, then live, then how it ended.

    `Last-Event-ID` wins over `starting_after`; both count the characters that the reader has. The id of the last
    event says that the reader has that one too.
    """
    who = Principal(place.user_id)
    turn = await services_of(request).turns.follow(who, str(conversation_id), str(message_id))
    if last_event_id.endswith(turn_responses.END):
        if turn.reply.status.terminal:
            return nothing_more()
        raise InvalidRequest("The message has not ended.", pointer="header/last-event-id")
    return EventStream(turn_responses.events(turn, int(last_event_id or place.starting_after)))


@router.post(
    "/{message_id}/cancel", status_code=202, response_model=MessageOut, responses=refusals(*ONE, AlreadyFinished)
)
async def cancel(conversation_id: UUID, message_id: UUID, call: Call) -> Response:
    """Stops a reply within a second, wherever it is made; the text so far is kept."""
    message = await call.services.turns.cancel(call.who, str(conversation_id), str(message_id))
    return json_response(message_json(message), 202)


@router.put("/{message_id}", response_model=MessageOut, responses=refusals(*ONE, TurnUnfinished, MessageTooLong))
async def edit_message(conversation_id: UUID, message_id: UUID, body: EditBody, call: Call) -> Response:
    """Edits a user's message; models are told the new text from the next turn on."""
    message = await call.services.messages.edit(call.who, str(conversation_id), str(message_id), body.content)
    return json_response(message_json(message))


@router.delete("/{message_id}", response_model=Deleted, responses=refusals(*ONE, TurnUnfinished))
async def delete_message(conversation_id: UUID, message_id: UUID, call: Call) -> Response:
    """Takes a message out of all reads and out of what models are told; its number is never reused."""
    await call.services.messages.delete(call.who, str(conversation_id), str(message_id))
    return json_response({"detail": f"Message {message_id} deleted successfully"})
