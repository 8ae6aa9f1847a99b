from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from app.api import cursor, views
from app.api.deps import Call, Scope, json_response, services_of
from app.api.routes.conversations import Deleted
from app.api.schemas.fields import MAX_INTEGER, Limit
from app.api.schemas.messages import EditBody, MessageOut, NewMessageBody, TurnOut, message_json
from app.api.sse import EventStream
from app.domain.messages import Message
from app.domain.principals import Principal
from app.services.messages import WINDOW, Between

router = APIRouter(tags=["messages"], prefix="/conversations/{conversation_id}/messages")

SequenceNumber = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class MessageFilters(Scope):
    """Which messages, by sequence number."""

    limit: Limit = WINDOW
    after: SequenceNumber = 0
    before: SequenceNumber = MAX_INTEGER
    order: Literal["asc", "desc"] = "asc"


@router.post("", status_code=201, response_model=TurnOut, responses=views.STREAM_RESPONSE)
async def post_message(
    conversation_id: UUID,
    body: NewMessageBody,
    call: Call,
    accept: Annotated[str, Header()] = "",
    prefer: Annotated[str, Header()] = "",
) -> Response:
    """Runs a turn: stores the message, asks the model, answers with its reply or streams it."""
    turn = await call.services.turns.begin(call.who, str(conversation_id), body.turn())
    if views.wants_stream(accept, body.stream):
        return EventStream(views.events(turn))
    reply = await views.ended(turn.reply)
    if "return=minimal" in prefer:
        messages, headers = [turn.accepted.question, reply], {"Preference-Applied": "return=minimal"}
    else:
        messages, headers = await call.services.messages.window(reply), {}
    answer = {
        "conversation_id": reply.conversation_id,
        "title": turn.accepted.title,
        "assistant_reply": reply.content,
        "messages": [message_json(each) for each in messages],
    }
    return json_response(answer, 201, headers)


@router.get("", response_model=list[MessageOut])
async def list_messages(
    request: Request,
    conversation_id: UUID,
    filters: Annotated[MessageFilters, Query()],
) -> Response:
    """Messages by sequence number, those between `after` and `before`."""
    descending = filters.order == "desc"
    between = Between(filters.after, filters.before, filters.limit + 1, descending)
    page = await services_of(request).messages.page(Principal(filters.user_id), str(conversation_id), between)
    headers = {}
    if len(page) > filters.limit:
        headers = next_page(request, page[filters.limit - 1], descending=descending)
    return json_response([message_json(each) for each in page[: filters.limit]], 200, headers)


def next_page(request: Request, last: Message, *, descending: bool) -> dict[str, str]:
    """The header that points behind the last message of a page."""
    bound = "before" if descending else "after"
    return cursor.next_link(request, **{bound: last.sequence_number})


@router.get("/{message_id}", response_model=MessageOut)
async def get_message(conversation_id: UUID, message_id: UUID, call: Call) -> Response:
    """One message."""
    message = await call.services.messages.get(call.who, str(conversation_id), str(message_id))
    return json_response(message_json(message))


@router.put("/{message_id}", response_model=MessageOut)
async def edit_message(conversation_id: UUID, message_id: UUID, body: EditBody, call: Call) -> Response:
    """Edits a user's message; models are told the new text from the next turn on."""
    message = await call.services.messages.edit(call.who, str(conversation_id), str(message_id), body.content)
    return json_response(message_json(message))


@router.delete("/{message_id}", response_model=Deleted)
async def delete_message(conversation_id: UUID, message_id: UUID, call: Call) -> Response:
    """Takes a message out of all reads and out of what models are told; its number is never reused."""
    await call.services.messages.delete(call.who, str(conversation_id), str(message_id))
    return json_response({"detail": f"Message {message_id} deleted successfully"})
