from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.api.schemas.fields import JsonObject, Moment, Output, rfc3339
from app.api.schemas.messages import UsageOut, usage_json
from app.domain.usage import Attempt, DailyUsage

Day = Annotated[str, Field(json_schema_extra={"format": "date"})]


class AttemptOut(Output):
    """A provider call. `outcome` is completed, cancelled, interrupted, or the code of its error."""

    provider: str
    model: str
    outcome: str
    status_code: int | None = Field(description="HTTP status of the provider's response; null without one.")
    first_token_ms: int | None = Field(description="Milliseconds to the first token; null if none came.")
    total_ms: int = Field(description="Milliseconds of the whole call.")
    usage: UsageOut | None
    started_at: Moment


class DailyUsageOut(Output):
    """A user's token usage of one model on one day (UTC); `estimated` if any part is an estimate."""

    day: Day
    provider: str
    model: str
    turns: int = Field(description="Turns that called this model.")
    input_tokens: int
    output_tokens: int
    estimated: bool


def attempt_json(attempt: Attempt) -> JsonObject:
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "outcome": attempt.outcome,
        "status_code": attempt.status_code,
        "first_token_ms": attempt.first_token_ms,
        "total_ms": attempt.total_ms,
        "usage": usage_json(attempt.usage),
        "started_at": rfc3339(attempt.started_at),
    }


def daily_usage_json(usage: DailyUsage) -> JsonObject:
    return {
        "day": usage.day,
        "provider": usage.provider,
        "model": usage.model,
        "turns": usage.turns,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "estimated": usage.estimated,
    }
