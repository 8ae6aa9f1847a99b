from __future__ import annotations

import functools
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from app.api import pagination, turn_responses
from app.api.dependencies import ApiCall, Call, ScopeParams, call_with
from app.api.idempotency import REPLAYED, key_of
from app.api.json_encoding import json_response
from app.api.openapi_responses import TURN, Responses, refusals, with_headers
from app.api.schemas.conversations import (
    ConversationChanges,
    ConversationOut,
    ConversationWithMessages,
    CreatedConversation,
    NewConversationBody,
    conversation_json,
)
from app.api.schemas.deletion import Deleted
from app.api.schemas.fields import Limit, UserId
from app.api.schemas.headers import Headers
from app.api.schemas.messages import message_json
from app.domain.conversations import Mode
from app.domain.messages import Message
from app.domain.turns import NewTurn
from app.errors import ConversationNotFound, DatabaseUnavailable, DocumentNotFound, UnknownModel
from app.services.turns.reservation import Turn

router = APIRouter(tags=["conversations"])

TURN_RESPONSES = turn_responses.responses_for(CreatedConversation, "Location") | refusals(*TURN, DocumentNotFound)
LISTED: Responses = {200: {"description": "A page of conversations."} | with_headers("Link")}
ONE = (ConversationNotFound, DatabaseUnavailable)


class ConversationFilters(ScopeParams):
    """Query parameters of the list of conversations."""

    user_id: UserId = Field(description="User whose conversations are listed.")
    mode: Mode | None = Field(None, description="Only conversations of this mode.")
    limit: Limit = Field(20, description="Maximum number of conversations on a page, 1 to 100.")
    cursor: Annotated[str, Query(max_length=100)] | None = Field(
        None, description="Position of the page, from the previous page's `Link` header."
    )


ListCall = Annotated[ApiCall[ConversationFilters], Depends(call_with(ConversationFilters))]


@router.post("/conversations", status_code=201, response_model=CreatedConversation, responses=TURN_RESPONSES)
async def create_conversation(body: NewConversationBody, call: Call, headers: Headers) -> Response:
    """Create a conversation; with a `message`, run its first turn."""
    user_id = call.body_user_id(body.user_id)
    mode = turn_responses.response_mode(headers.accepted, body, has_turn=body.message is not None)
    key = key_of(headers.idempotency_key, "/conversations", body)
    if body.message is None:
        created, replayed = await call.services.conversations.create(user_id, body.conversation(), key)
        document = conversation_json(created) | {"assistant_reply": None, "messages": []}
        return json_response(document, 201, location_header(created.conversation_id) | (REPLAYED if replayed else {}))
    new_turn = NewTurn(body.message, key=key, retrieval=body.retrieval)
    turn = await call.services.turns.accept_first(user_id, body.conversation(), new_turn)
    response = await turn_responses.respond(call, turn, mode, functools.partial(build_document, call, turn, mode))
    if mode is not turn_responses.ResponseMode.BACKGROUND:
        response.headers.update(location_header(turn.reply.conversation_id))
    return response


async def build_document(
    call: ApiCall[ScopeParams], turn: Turn, mode: turn_responses.ResponseMode, reply: Message
) -> turn_responses.TurnResponse:
    """Build the response to a conversation's first turn."""
    conversation = await call.services.conversations.get(call.principal, reply.conversation_id)
    messages = await turn_responses.reply_and_messages(reply, turn, mode, call)
    return turn_responses.TurnResponse(conversation_json(conversation) | messages)


def location_header(conversation_id: str) -> dict[str, str]:
    return {"Location": f"/conversations/{conversation_id}"}


@router.get("/conversations", response_model=list[ConversationOut], responses=LISTED | refusals(DatabaseUnavailable))
async def list_conversations(request: Request, call: ListCall) -> Response:
    """List a user's conversations, the most recently updated first."""
    filters = call.query
    after = None if filters.cursor is None else pagination.decode_cursor(filters.cursor)
    page = await call.services.conversations.page(call.user_id, filters.mode, after, filters.limit + 1)
    headers = {}
    if len(page) > filters.limit:
        last = page[filters.limit - 1]
        cursor = pagination.encode_cursor(last.updated_at, last.conversation_id)
        headers = pagination.next_link(request, cursor=cursor)
    return json_response([conversation_json(each) for each in page[: filters.limit]], 200, headers)


@router.get("/conversations/{conversation_id}", response_model=ConversationWithMessages, responses=refusals(*ONE))
async def get_conversation(conversation_id: UUID, call: Call) -> Response:
    """Get a conversation with its latest 100 messages, the oldest first."""
    conversation, messages = await call.services.conversations.get_with_messages(call.principal, str(conversation_id))
    return json_response(conversation_json(conversation) | {"messages": [message_json(each) for each in messages]})


@router.patch(
    "/conversations/{conversation_id}",
    response_model=ConversationOut,
    responses=refusals(*ONE, DocumentNotFound, UnknownModel),
)
async def change_conversation(conversation_id: UUID, body: ConversationChanges, call: Call) -> Response:
    """Change the fields that the body names; null removes a value."""
    changed = await call.services.conversations.change(call.principal, str(conversation_id), body.changes())
    return json_response(conversation_json(changed))


@router.delete("/conversations/{conversation_id}", response_model=Deleted, responses=refusals(*ONE))
async def delete_conversation(conversation_id: UUID, call: Call) -> Response:
    """Delete a conversation with all its messages, and cancel its turns."""
    await call.services.conversations.delete(call.principal, str(conversation_id))
    return json_response({"detail": f"Conversation {conversation_id} deleted successfully"})
