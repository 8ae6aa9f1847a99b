from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.domain.messages import Usage

COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"
INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a provider, whatever came of it: an entry of the ledger."""

    attempt_id: str
    provider: str
    model: str
    outcome: str
    """`completed`, `cancelled`, `interrupted`, or the code of the error that it ended with."""
    status_code: int | None
    """What the provider answered with; None when it did not answer, or does not speak HTTP."""
    first_token_ms: int | None
    """Milliseconds until the first text or thought."""
    total_ms: int
    usage: Usage | None
    """None where the provider refused, or was not reached: that costs nothing."""
    started_at: int
    """Milliseconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """What one model did for a user on one day (UTC, as `2026-11-21`)."""

    day: str
    provider: str
    model: str
    turns: int
    input_tokens: int
    output_tokens: int
    estimated: bool
    """Whether a part of it is an estimate."""
