from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.api.dependencies import Call, json_response
from app.api.openapi_responses import refusals
from app.api.schemas.fields import Output

router = APIRouter(tags=["models"])


class ModelOut(Output):
    """A model that may be asked for; one that has just failed again and again is not available for a while."""

    provider: str
    model: str
    context_window: int
    default: bool
    available: bool


@router.get("/models", response_model=list[ModelOut], responses=refusals())
async def list_models(call: Call) -> Response:
    """The models that are known by name. Providers over HTTP take others too, if they have them."""
    await call.services.router.catalog.prepare_all()
    return json_response([model._asdict() for model in call.services.router.models()])
