from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.domain.messages import Usage

COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"
INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a provider, successful or not, as its usage is recorded."""

    attempt_id: str
    provider: str
    model: str
    outcome: str
    """`completed`, `cancelled`, `interrupted`, or the code of the error that ended it."""
    status_code: int | None
    """The HTTP status of the provider's response; None without a response, or without HTTP."""
    first_token_ms: int | None
    """Milliseconds until the first text or reasoning."""
    total_ms: int
    usage: Usage | None
    """None if the provider refused the call or was not reached, which costs nothing."""
    started_at: int
    """Milliseconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """The usage of one model by a user on one day (UTC, as `2026-11-21`)."""

    day: str
    provider: str
    model: str
    turns: int
    input_tokens: int
    output_tokens: int
    estimated: bool
    """True if a part of it is an estimate."""
