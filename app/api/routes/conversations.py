from __future__ import annotations

import functools
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api import pagination, turn_responses
from app.api.dependencies import Call, Caller, Scope, author, json_response, services_of
from app.api.idempotency import REPLAYED, key_of
from app.api.openapi_responses import TURN, Responses, refusals, with_headers
from app.api.schemas.conversations import (
    ConversationChanges,
    ConversationOut,
    ConversationWithMessages,
    CreatedConversation,
    NewConversationBody,
    conversation_json,
)
from app.api.schemas.fields import Limit, Output, UserId
from app.api.schemas.headers import Headers
from app.api.schemas.messages import message_json
from app.domain.conversations import Mode
from app.domain.messages import Message
from app.domain.turns import NewTurn
from app.errors import ConversationNotFound, DatabaseUnavailable, DocumentNotFound, UnknownModel
from app.services.turns.reservation import Turn

router = APIRouter(tags=["conversations"])

TURN_RESPONSES = turn_responses.turn_responses(CreatedConversation, "Location") | refusals(*TURN, DocumentNotFound)
LISTED: Responses = {200: {"description": "A page."} | with_headers("Link")}
ONE = (ConversationNotFound, DatabaseUnavailable)


class ConversationFilters(Scope):
    """Which conversations, and from where on."""

    user_id: UserId
    mode: Mode | None = None
    limit: Limit = 20
    cursor: Annotated[str, Query(max_length=100)] | None = None


class Deleted(Output):
    """That it is gone."""

    detail: str


@router.post("/conversations", status_code=201, response_model=CreatedConversation, responses=TURN_RESPONSES)
async def create_conversation(body: NewConversationBody, call: Call, headers: Headers) -> Response:
    """Makes a conversation and, with a message, runs its first turn."""
    user_id = author(body.user_id, call.who)
    form = turn_responses.form_of(headers.accepted, body, has_turn=body.message is not None)
    key = key_of(headers.idempotency_key, "/conversations", body)
    if body.message is None:
        made, replayed = await call.services.conversations.create(user_id, body.conversation(), key)
        document = conversation_json(made) | {"assistant_reply": None, "messages": []}
        return json_response(document, 201, place_of(made.conversation_id) | (REPLAYED if replayed else {}))
    new_turn = NewTurn(body.message, key=key, retrieval=body.retrieval)
    turn = await call.services.turns.begin_conversation(user_id, body.conversation(), new_turn)
    response = await turn_responses.answer(call, turn, form, functools.partial(conversation_document, call, turn, form))
    if form is not turn_responses.ResponseMode.BACKGROUND:
        response.headers.update(place_of(turn.reply.conversation_id))
    return response


async def conversation_document(
    call: Caller, turn: Turn, form: turn_responses.ResponseMode, reply: Message
) -> turn_responses.TurnResponse:
    """What a conversation's first turn is answered with."""
    conversation = await call.services.conversations.get(call.who, reply.conversation_id)
    messages = await turn_responses.messages_up_to(reply, turn, form, call)
    return turn_responses.TurnResponse(conversation_json(conversation) | messages)


def place_of(conversation_id: str) -> dict[str, str]:
    """The header that says where a conversation is."""
    return {"Location": f"/conversations/{conversation_id}"}


@router.get("/conversations", response_model=list[ConversationOut], responses=LISTED | refusals(DatabaseUnavailable))
async def list_conversations(request: Request, filters: Annotated[ConversationFilters, Query()]) -> Response:
    """A user's conversations, the last updated first."""
    behind = None if filters.cursor is None else pagination.decoded(filters.cursor)
    page = await services_of(request).conversations.page(filters.user_id, filters.mode, behind, filters.limit + 1)
    headers = {}
    if len(page) > filters.limit:
        last = page[filters.limit - 1]
        place = pagination.encoded(last.updated_at, last.conversation_id)
        headers = pagination.next_link(request, cursor=place)
    return json_response([conversation_json(each) for each in page[: filters.limit]], 200, headers)


@router.get("/conversations/{conversation_id}", response_model=ConversationWithMessages, responses=refusals(*ONE))
async def get_conversation(conversation_id: UUID, call: Call) -> Response:
    """A conversation with its latest 100 messages in sequence order."""
    conversation = await call.services.conversations.get(call.who, str(conversation_id))
    messages = await call.services.conversations.latest_messages(conversation.conversation_id)
    return json_response(conversation_json(conversation) | {"messages": [message_json(each) for each in messages]})


@router.patch(
    "/conversations/{conversation_id}",
    response_model=ConversationOut,
    responses=refusals(*ONE, DocumentNotFound, UnknownModel),
)
async def change_conversation(conversation_id: UUID, body: ConversationChanges, call: Call) -> Response:
    """Changes what is given; null takes a value away."""
    changed = await call.services.conversations.change(call.who, str(conversation_id), body.changes())
    return json_response(conversation_json(changed))


@router.delete("/conversations/{conversation_id}", response_model=Deleted, responses=refusals(*ONE))
async def delete_conversation(conversation_id: UUID, call: Call) -> Response:
    """Deletes a conversation at once and stops its turns."""
    await call.services.conversations.delete(call.who, str(conversation_id))
    return json_response({"detail": f"Conversation {conversation_id} deleted successfully"})
