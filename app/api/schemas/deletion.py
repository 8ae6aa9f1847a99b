from __future__ import annotations

from app.api.schemas.fields import Output


class Deleted(Output):
    """Confirmation of a deletion."""

    detail: str
