"""Usage: one row per provider call. Rows outlive their conversations and are erased with their user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from app.db.transaction import Row, Statement, Transaction, first_row
from app.domain.messages import Usage
from app.domain.usage import Attempt, DailyUsage

# Selected from `users`: nothing is recorded for a user who was erased while the turn ran.
INSERT = """
INSERT INTO attempts (attempt_id, owner_id, conversation_id, message_id, day, provider, model, outcome, status_code,
first_token_ms, total_ms, input_tokens, output_tokens, estimated, started_at)
SELECT $1, u.id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 FROM users u WHERE u.id = $2
ON CONFLICT (attempt_id) DO NOTHING"""
OF_MESSAGE = """
SELECT attempt_id, provider, model, outcome, status_code, first_token_ms, total_ms, input_tokens, output_tokens,
estimated, started_at FROM attempts WHERE message_id = $1 ORDER BY started_at, attempt_id"""
BY_DAY = """
SELECT a.day, a.provider, a.model, COUNT(DISTINCT a.message_id), CAST(COALESCE(SUM(a.input_tokens), 0) AS BIGINT),
CAST(COALESCE(SUM(a.output_tokens), 0) AS BIGINT), MAX(CASE WHEN a.estimated THEN 1 ELSE 0 END)
FROM attempts a WHERE a.owner_id = (SELECT id FROM users WHERE user_id = $1) AND a.day >= $2 AND a.day <= $3
GROUP BY a.day, a.provider, a.model ORDER BY a.day DESC, a.provider, a.model"""
SPENT = """
SELECT CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS BIGINT) FROM attempts
WHERE owner_id = $1 AND day = $2"""


def record(
    owner_id: str, conversation_id: str, message_id: str | None, attempts: Sequence[Attempt]
) -> Transaction[None]:
    """Insert attempts; idempotent. Those of titles and summaries have no message."""
    for attempt in attempts:
        usage = attempt.usage
        values = (
            attempt.attempt_id,
            owner_id,
            conversation_id,
            message_id,
            day_of(attempt.started_at),
            attempt.provider,
            attempt.model,
            attempt.outcome,
            attempt.status_code,
            attempt.first_token_ms,
            attempt.total_ms,
            usage and usage.input_tokens,
            usage and usage.output_tokens,
            usage and usage.estimated,
            attempt.started_at,
        )
        yield Statement(INSERT, values)


def of_message(message_id: str) -> Transaction[list[Attempt]]:
    """List the attempts at a reply in chronological order."""
    rows = yield Statement(OF_MESSAGE, (message_id,))
    return [attempt_of(row) for row in rows]


def by_day(user_id: str, first: str, last: str) -> Transaction[list[DailyUsage]]:
    """Sum a user's usage from one day to another by day, provider and model, the latest day first."""
    rows = yield Statement(BY_DAY, (user_id, first, last))
    return [DailyUsage(*(*row[:6], bool(row[6]))) for row in rows]


def spent(owner_id: str, now: int) -> Transaction[int]:
    """Sum the tokens that a user has spent today; an index limits the scan to the user's rows of that day."""
    row = yield from first_row(Statement(SPENT, (owner_id, day_of(now))))
    return 0 if row is None else int(row[0])


def attempt_of(row: Row) -> Attempt:
    """Build an attempt from a row of `OF_MESSAGE`."""
    usage = None if row[7] is None else Usage(row[7], row[8], bool(row[9]))
    return Attempt(*(str(row[0]), *row[1:7], usage, row[10]))


def day_of(moment: int) -> str:
    """Format the UTC day of a moment, in milliseconds since the epoch, as `2026-11-21`."""
    return datetime.fromtimestamp(moment / 1_000, UTC).date().isoformat()
