"""One key, one turn: a caller who got no answer asks again without paying twice.

After the draft "The Idempotency-Key HTTP Header Field" (IETF, httpapi working group).
"""

from __future__ import annotations

from dataclasses import dataclass

RETENTION_MS = 24 * 3_600_000
"""How long a key is kept once its turn has ended."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's own name for a request, unique among the owner's."""

    key: str
    """At most 255 characters."""
    fingerprint: str
    """The same for the same method, path and body, and for no others."""


@dataclass(frozen=True, slots=True)
class FirstResult:
    """What the first request under a key has made."""

    fingerprint: str
    conversation_id: str
    message_id: str | None
    """The reply; None for a conversation made without a message."""
