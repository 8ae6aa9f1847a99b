"""Idempotency keys: a retry under the same key gets the first turn, and does not pay twice.

After the draft "The Idempotency-Key HTTP Header Field" (IETF, httpapi working group).
"""

from __future__ import annotations

from dataclasses import dataclass

RETENTION_MS = 24 * 3_600_000
"""Milliseconds for which a key is kept after the end of its turn."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's own id of a request, unique for the user."""

    key: str
    """At most 255 characters."""
    fingerprint: str
    """A hash of method, path and body."""


@dataclass(frozen=True, slots=True)
class FirstResult:
    """The turn or conversation that the first request under a key created."""

    fingerprint: str
    conversation_id: str
    message_id: str | None
    """The reply; None for a conversation created without a message."""
