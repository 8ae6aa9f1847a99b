from __future__ import annotations

from typing import Annotated

from fastapi import Header
from pydantic import BaseModel, Field, StringConstraints

# RFC 9110, section 5.5: no controls, and white space is cut off at both ends.
FIELD_VALUE = r"^[!-~\u0080-\u00ff]([\t -~\u0080-\u00ff]*[!-~\u0080-\u00ff])?$"


class TurnHeaders(BaseModel):
    """Headers of requests that start a turn."""

    # Not in the OpenAPI document, where the media types of the responses describe it.
    accept: list[str] = []
    prefer: str = Field("", description="`return=minimal`: return only the two messages of this turn (RFC 7240).")
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=FIELD_VALUE)] | None = (
        Field(
            None, description="Key of your own: a retry of the request with the same key returns the first one's turn."
        )
    )

    @property
    def accepted(self) -> str:
        """The `Accept` headers joined into one list (RFC 9110, section 5.3)."""
        return ", ".join(self.accept)

    @property
    def minimal(self) -> bool:
        """True if the response is to hold only the messages of this turn (RFC 7240)."""
        return "return=minimal" in self.prefer


Headers = Annotated[TurnHeaders, Header()]
