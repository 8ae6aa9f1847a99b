from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api import cursor, views
from app.api.deps import Call, Scope, author, json_response, services_of
from app.api.schemas.conversations import (
    ConversationChanges,
    ConversationOut,
    ConversationWithMessages,
    CreatedConversation,
    NewConversationBody,
    conversation_json,
)
from app.api.schemas.fields import Limit, Output, UserId
from app.api.schemas.messages import message_json
from app.api.sse import EventStream
from app.domain.conversations import Mode
from app.domain.ids import new_id
from app.domain.principals import Principal
from app.domain.turns import NewTurn
from app.errors import InvalidRequest

router = APIRouter(tags=["conversations"])


class ConversationFilters(Scope):
    """Which conversations, and from where on."""

    user_id: UserId
    mode: Mode | None = None
    limit: Limit = 20
    cursor: Annotated[str, Query(max_length=100)] | None = None


class Deleted(Output):
    """That it is gone."""

    detail: str


@router.post("/conversations", status_code=201, response_model=CreatedConversation, responses=views.STREAM_RESPONSE)
async def create_conversation(
    body: NewConversationBody,
    call: Call,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Makes a conversation and, with a message, runs its first turn."""
    user_id = author(body.user_id, call.who)
    streamed = views.wants_stream(accept, body.stream)
    if body.message is None:
        if streamed:
            raise InvalidRequest("There is nothing to stream without a message.", pointer="#/stream")
        made = await call.services.conversations.create(user_id, body.conversation())
        return created(conversation_json(made) | {"assistant_reply": None, "messages": []})
    turn = await call.services.turns.begin_conversation(
        user_id, conversation_id := new_id(), body.conversation(), NewTurn(body.message)
    )
    if streamed:
        return EventStream(views.events(turn), {"Location": f"/conversations/{conversation_id}"})
    reply = await views.ended(turn.reply)
    conversation = await call.services.conversations.get(Principal(user_id), conversation_id)
    messages = await call.services.messages.window(reply)
    return created(
        conversation_json(conversation)
        | {"assistant_reply": reply.content, "messages": [message_json(each) for each in messages]}
    )


def created(document: dict[str, object]) -> Response:
    """The answer with a new conversation, and where it is."""
    return json_response(document, 201, {"Location": f"/conversations/{document['conversation_id']}"})


@router.get("/conversations", response_model=list[ConversationOut])
async def list_conversations(request: Request, filters: Annotated[ConversationFilters, Query()]) -> Response:
    """A user's conversations, the last updated first."""
    behind = None if filters.cursor is None else cursor.decoded(filters.cursor)
    page = await services_of(request).conversations.page(filters.user_id, filters.mode, behind, filters.limit + 1)
    headers = {}
    if len(page) > filters.limit:
        last = page[filters.limit - 1]
        place = cursor.encoded(last.updated_at, last.conversation_id)
        headers = cursor.next_link(request, cursor=place)
    return json_response([conversation_json(each) for each in page[: filters.limit]], 200, headers)


@router.get("/conversations/{conversation_id}", response_model=ConversationWithMessages)
async def get_conversation(conversation_id: UUID, call: Call) -> Response:
    """A conversation with its latest 100 messages in sequence order."""
    conversation = await call.services.conversations.get(call.who, str(conversation_id))
    messages = await call.services.conversations.latest_messages(conversation.conversation_id)
    return json_response(conversation_json(conversation) | {"messages": [message_json(each) for each in messages]})


@router.patch("/conversations/{conversation_id}", response_model=ConversationOut)
async def change_conversation(conversation_id: UUID, body: ConversationChanges, call: Call) -> Response:
    """Changes what is given; null takes a value away."""
    changed = await call.services.conversations.change(call.who, str(conversation_id), body.changes())
    return json_response(conversation_json(changed))


@router.delete("/conversations/{conversation_id}", response_model=Deleted)
async def delete_conversation(conversation_id: UUID, call: Call) -> Response:
    """Deletes a conversation at once and stops its turns."""
    await call.services.conversations.delete(call.who, str(conversation_id))
    return json_response({"detail": f"Conversation {conversation_id} deleted successfully"})
