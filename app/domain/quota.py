from __future__ import annotations

from datetime import UTC, datetime

from app.errors import QuotaExceeded

DAY_MS = 24 * 60 * 60 * 1_000


def quota_exceeded(now: int) -> QuotaExceeded:
    """Build the error of a user whose tokens of the day (UTC) are spent, with its reset time.

    Args:
        now: Milliseconds since the Unix epoch.
    """
    resets_at = (now // DAY_MS + 1) * DAY_MS
    moment = f"{datetime.fromtimestamp(resets_at / 1_000, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    error = QuotaExceeded(f"The user's daily token quota is used up; it resets at {moment}.")
    error.members = {"resets_at": moment}
    error.retry_after = max(1, (resets_at - now + 999) // 1_000)
    return error
