from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import Response

from app.api.dependencies import ApiCall, Call, ScopeParams, call_with
from app.api.json_encoding import json_response
from app.api.openapi_responses import refusals
from app.api.schemas.fields import UserId
from app.api.schemas.usage import AttemptOut, DailyUsageOut, attempt_json, daily_usage_json
from app.errors import ConversationNotFound, DatabaseUnavailable, InvalidRequest, MessageNotFound

MAX_DAYS = 366
DEFAULT_DAYS = 31

router = APIRouter()


class UsageFilters(ScopeParams):
    """Query parameters of usage: first and last day (UTC), both inclusive; by default the last 31 days."""

    user_id: UserId = Field(description="User whose usage is returned.")
    first: date | None = Field(None, alias="from", description="First day (UTC); by default 31 days up to the last.")
    last: date | None = Field(
        None, alias="to", description="Last day (UTC), at most 366 days from the first; by default today."
    )

    def days(self) -> tuple[date, date]:
        """Return the first and the last day.

        Raises:
            InvalidRequest: the first is after the last, or there are more than 366 days.
        """
        last = self.last or max(datetime.now(UTC).date(), self.first or date.min)
        first = self.first or max(date.min + timedelta(DEFAULT_DAYS), last) - timedelta(DEFAULT_DAYS - 1)
        if not first <= last:
            raise InvalidRequest("`from` is after `to`; exchange them.", pointer="?from")
        if last - first >= timedelta(MAX_DAYS):
            raise InvalidRequest(f"The range exceeds {MAX_DAYS} days; request it in parts.", pointer="?from")
        return first, last


UsageCall = Annotated[ApiCall[UsageFilters], Depends(call_with(UsageFilters))]


@router.get(
    "/conversations/{conversation_id}/messages/{message_id}/attempts",
    summary="List a reply's provider calls",
    response_model=list[AttemptOut],
    responses=refusals(ConversationNotFound, MessageNotFound, DatabaseUnavailable),
    tags=["messages"],
)
async def list_attempts(conversation_id: UUID, message_id: UUID, call: Call) -> Response:
    """List the provider calls made for a reply, the first one first."""
    attempts = await call.services.usage.attempts(call.principal, str(conversation_id), str(message_id))
    return json_response([attempt_json(each) for each in attempts])


@router.get("/usage", response_model=list[DailyUsageOut], responses=refusals(DatabaseUnavailable), tags=["usage"])
async def get_usage(call: UsageCall) -> Response:
    """Get a user's token usage by day, provider and model, the latest day first; deleted conversations count."""
    first, last = call.query.days()
    usage = await call.services.usage.daily_usage(call.user_id, first.isoformat(), last.isoformat())
    return json_response([daily_usage_json(each) for each in usage])
