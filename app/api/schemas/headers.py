from __future__ import annotations

from typing import Annotated

from fastapi import Header
from pydantic import BaseModel, Field, StringConstraints

# RFC 9110, section 5.5: no controls, and white space is cut off at both ends.
FIELD_VALUE = r"^[!-~\u0080-\u00ff]([\t -~\u0080-\u00ff]*[!-~\u0080-\u00ff])?$"


class TurnHeaders(BaseModel):
    """The headers that a request for a turn may have."""

    # Left out of the OpenAPI document, which tells what may be accepted by the media types of the answers.
    accept: list[str] = []
    prefer: str = Field("", description="`return=minimal`: answer with no more than was made (RFC 7240).")
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=FIELD_VALUE)] | None = (
        Field(None, description="A name of yours for this request: sent again under it, the same turn answers.")
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
