from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """A user, by the caller's own id. Times in milliseconds since the Unix epoch."""

    user_id: str
    name: str | None
    created_at: int
