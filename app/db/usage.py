"""Usage: one row per provider call. Rows outlive their conversations and are erased with their user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import BigInteger, ColumnElement, bindparam, case, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute

from app.db.expressions import insert_rows_of, parameter
from app.db.models import AttemptRow, UserRow
from app.db.predicates import OWNER_ROW_ID
from app.db.transaction import Row, Transaction, execute, fetch_value
from app.domain.messages import Usage
from app.domain.usage import Attempt, DailyUsage

CALL = (
    AttemptRow.attempt_id,
    AttemptRow.provider,
    AttemptRow.model,
    AttemptRow.outcome,
    AttemptRow.status_code,
    AttemptRow.first_token_ms,
    AttemptRow.total_ms,
    AttemptRow.input_tokens,
    AttemptRow.output_tokens,
    AttemptRow.estimated,
    AttemptRow.started_at,
)
"""The columns of `domain.usage.Attempt`."""
GIVEN = (AttemptRow.conversation_id, AttemptRow.message_id, AttemptRow.day, *CALL)
# Selected from `users`: nothing is recorded for a user who was erased while the turn ran.
INSERT = insert_rows_of(
    AttemptRow,
    select(UserRow.id.label("owner_id"), *(parameter(each).label(each.key) for each in GIVEN)).where(
        UserRow.id == bindparam("owner_id")
    ),
).on_conflict_do_nothing(index_elements=[AttemptRow.attempt_id])
OF_MESSAGE = (
    select(*CALL)
    .where(AttemptRow.message_id == bindparam("message_id"))
    .order_by(AttemptRow.started_at, AttemptRow.attempt_id)
)


def total(tokens: ColumnElement[int | None] | InstrumentedAttribute[int | None]) -> ColumnElement[int]:
    """Build the sum of an expression over all rows as an integer; 0 without rows, or where all are NULL."""
    return cast(func.coalesce(func.sum(tokens), 0), BigInteger)


BY_DAY = (
    select(
        AttemptRow.day,
        AttemptRow.provider,
        AttemptRow.model,
        func.count(AttemptRow.message_id.distinct()).label("turns"),
        total(AttemptRow.input_tokens).label("input_tokens"),
        total(AttemptRow.output_tokens).label("output_tokens"),
        (func.max(case((AttemptRow.estimated.is_(True), 1), else_=0)) == 1).label("estimated"),
    )
    .where(
        AttemptRow.owner_id == OWNER_ROW_ID,
        AttemptRow.day >= bindparam("first"),
        AttemptRow.day <= bindparam("last"),
    )
    .group_by(AttemptRow.day, AttemptRow.provider, AttemptRow.model)
    .order_by(AttemptRow.day.desc(), AttemptRow.provider, AttemptRow.model)
)
SPENT = select(total(AttemptRow.input_tokens + AttemptRow.output_tokens)).where(
    AttemptRow.owner_id == bindparam("owner_id"), AttemptRow.day == bindparam("day")
)


def record(
    owner_id: str, conversation_id: str, message_id: str | None, attempts: Sequence[Attempt]
) -> Transaction[None]:
    """Insert attempts; idempotent. Those of titles and summaries have no message."""
    for attempt in attempts:
        usage = attempt.usage
        yield from execute(
            INSERT,
            attempt_id=attempt.attempt_id,
            owner_id=owner_id,
            conversation_id=conversation_id,
            message_id=message_id,
            day=day_of(attempt.started_at),
            provider=attempt.provider,
            model=attempt.model,
            outcome=attempt.outcome,
            status_code=attempt.status_code,
            first_token_ms=attempt.first_token_ms,
            total_ms=attempt.total_ms,
            input_tokens=usage and usage.input_tokens,
            output_tokens=usage and usage.output_tokens,
            estimated=usage and usage.estimated,
            started_at=attempt.started_at,
        )


def of_message(message_id: str) -> Transaction[list[Attempt]]:
    """List the attempts at a reply in chronological order."""
    return [attempt_of(row) for row in (yield from execute(OF_MESSAGE, message_id=message_id))]


def by_day(user_id: str, first: str, last: str) -> Transaction[list[DailyUsage]]:
    """Sum a user's usage from one day to another by day, provider and model, the latest day first."""
    rows = yield from execute(BY_DAY, owner=user_id, first=first, last=last)
    return [DailyUsage(*row) for row in rows]


def spent(owner_id: str, now: int) -> Transaction[int]:
    """Sum the tokens that a user has spent today; an index limits the scan to the user's rows of that day."""
    return (yield from fetch_value(SPENT, owner_id=owner_id, day=day_of(now))) or 0


def attempt_of(row: Row) -> Attempt:
    """Build an attempt from a row of `OF_MESSAGE`."""
    usage = None if row.input_tokens is None else Usage(row.input_tokens, row.output_tokens, row.estimated)
    return Attempt(
        attempt_id=row.attempt_id,
        provider=row.provider,
        model=row.model,
        outcome=row.outcome,
        status_code=row.status_code,
        first_token_ms=row.first_token_ms,
        total_ms=row.total_ms,
        usage=usage,
        started_at=row.started_at,
    )


def day_of(moment: int) -> str:
    """Format the UTC day of a moment, in milliseconds since the epoch, as `2026-11-21`."""
    return datetime.fromtimestamp(moment / 1_000, UTC).date().isoformat()
