from __future__ import annotations

from typing import Annotated

from fastapi import Header
from pydantic import BaseModel, Field

from app.api.schemas.fields import Text


class TurnHeaders(BaseModel):
    """The headers that a request for a turn may have."""

    accept: list[str] = Field(
        [], description="`text/event-stream` asks for the turn's events, where `stream` is not given."
    )
    prefer: str = ""
    idempotency_key: Text | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="A name of yours for this request: sent again under it, the same turn answers.",
    )

    @property
    def accepted(self) -> str:
        """The media types that are accepted, in one list (RFC 9110, section 5.3)."""
        return ", ".join(self.accept)

    @property
    def minimal(self) -> bool:
        """Whether the answer is to hold no more than was made (RFC 7240)."""
        return "return=minimal" in self.prefer


Headers = Annotated[TurnHeaders, Header()]
