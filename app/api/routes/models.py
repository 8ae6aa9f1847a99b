from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.api.dependencies import Call
from app.api.json_encoding import json_response
from app.api.openapi_responses import refusals
from app.api.schemas.models import ModelOut, model_json

router = APIRouter(tags=["models"])


@router.get("/models", response_model=list[ModelOut], responses=refusals())
async def list_models(call: Call) -> Response:
    """List the models known by name; providers over HTTP accept their other models too."""
    return json_response([model_json(each) for each in await call.services.models.list_models()])
