"""The OpenAPI document, where FastAPI's own would say less or other than what is answered."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.api.problems import MEDIA_TYPE
from app.api.schemas.events import DOCUMENT_EVENT_MODELS, EVENT_MODELS
from app.api.schemas.fields import Output

REF = "#/components/schemas/{model}"


class ProblemError(Output):
    """One thing that is wrong: where, and what."""

    pointer: str
    detail: str


class Problem(Output):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[ProblemError] | None = None
    conversation_id: str | None = None
    message_id: str | None = None
    resets_at: str | None = None


def document(app: FastAPI) -> dict[str, Any]:
    """The document: every operation's refusals as problems, and the events of streams."""
    if app.openapi_schema is None:
        api = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        add_models(api)
        for path in api["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = problem_response()
        app.openapi_schema = api
    return app.openapi_schema


def add_models(api: dict[str, Any]) -> None:
    """Adds what no route's signature names, and takes away FastAPI's own errors."""
    models = [(model, "serialization") for model in (*EVENT_MODELS, *DOCUMENT_EVENT_MODELS, Problem)]
    _, definitions = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]  # the mode is literal
    schemas = api.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(definitions["$defs"])


def problem_response() -> dict[str, Any]:
    """What any operation may answer."""
    schema = {"$ref": REF.format(model="Problem")}
    return {"description": "A problem (RFC 9457).", "content": {MEDIA_TYPE: {"schema": schema}}}
