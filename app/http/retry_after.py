from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime

SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")
"""Whole seconds (RFC 9110), or fractions, as some servers send."""

MAX_SECONDS = 1e9


def retry_after_seconds(value: str | None) -> float | None:
    """Return the seconds from now that a `Retry-After` header names, as a number or a date; None if it is neither.

    RFC 9110, section 10.2.3; at least 0, at most `MAX_SECONDS`.
    """
    if not value:
        return None
    if SECONDS.fullmatch(value.strip()):
        return min(float(value), MAX_SECONDS)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
