from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from app.api.dependencies import Call
from app.api.json_encoding import json_response
from app.api.openapi_responses import refusals
from app.api.schemas.prompt_records import ContextOut, prompt_record_json
from app.errors import ConversationNotFound, DatabaseUnavailable, MessageNotFound

router = APIRouter(tags=["messages"])


@router.get(
    "/conversations/{conversation_id}/messages/{message_id}/context",
    summary="Get a reply's prompt record",
    response_model=ContextOut,
    responses=refusals(ConversationNotFound, MessageNotFound, DatabaseUnavailable),
)
async def get_context(conversation_id: UUID, message_id: UUID, call: Call) -> Response:
    """Get a reply's prompt record: the messages sent to the model, and those omitted with the reason."""
    record = await call.services.prompt_records.get(call.principal, str(conversation_id), str(message_id))
    return json_response(prompt_record_json(record))
