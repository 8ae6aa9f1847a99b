from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from app import NAME, VERSION
from app.api.dependencies import Call, call_of, json_response
from app.api.openapi_responses import refusals
from app.api.schemas.fields import Output
from app.errors import DatabaseUnavailable, Draining, Unavailable

router = APIRouter(tags=["health"], dependencies=[Depends(call_of)])


class HealthOut(Output):
    """Which service answers."""

    name: str
    version: str
    status: str


def healthy() -> Response:
    """The answer when all is well."""
    return json_response({"name": NAME, "version": VERSION, "status": "ok"})


@router.get("/", name="root", response_model=HealthOut, responses=refusals())
@router.get("/health", response_model=HealthOut, responses=refusals())
async def health() -> Response:
    """Which service this is."""
    return healthy()


@router.get("/livez", response_model=HealthOut, responses=refusals())
async def live() -> Response:
    """Whether the process lives; says nothing of the database."""
    return healthy()


@router.get("/readyz", response_model=HealthOut, responses=refusals(Draining, DatabaseUnavailable, Unavailable))
async def ready(call: Call) -> Response:
    """Whether the process can serve; 503 while the database is out of reach or the process is going away."""
    await call.services.health.check()
    return healthy()
