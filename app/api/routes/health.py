from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from app import NAME, VERSION
from app.api.dependencies import Call, call_of
from app.api.json_encoding import json_response
from app.api.openapi_responses import refusals
from app.api.schemas.health import HealthOut
from app.errors import DatabaseUnavailable, Draining, Unavailable

router = APIRouter(tags=["health"], dependencies=[Depends(call_of)])


def healthy() -> Response:
    return json_response({"name": NAME, "version": VERSION, "status": "ok"})


@router.get("/", name="root", summary="Get name and version", response_model=HealthOut, responses=refusals())
@router.get("/health", summary="Get name and version", response_model=HealthOut, responses=refusals())
async def health() -> Response:
    """Get the name and version of the service."""
    return healthy()


@router.get("/livez", summary="Check liveness", response_model=HealthOut, responses=refusals())
async def live() -> Response:
    """Check that the process runs; the database is not checked."""
    return healthy()


@router.get(
    "/readyz",
    summary="Check readiness",
    response_model=HealthOut,
    responses=refusals(Draining, DatabaseUnavailable, Unavailable),
)
async def ready(call: Call) -> Response:
    """Check that the process can serve: 503 while the database is unreachable, or the process is failing or ending."""
    await call.services.health.check()
    return healthy()
