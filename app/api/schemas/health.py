from __future__ import annotations

from app.api.schemas.fields import Output


class HealthOut(Output):
    """Name, version and status of the service."""

    name: str
    version: str
    status: str
