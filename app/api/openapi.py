"""The OpenAPI document: FastAPI's own, completed where it says less than the service does."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import Field
from pydantic.json_schema import models_json_schema

from app.api.error_codes import codes_of, subclasses
from app.api.openapi_links import links_of
from app.api.openapi_responses import REF, header_ref
from app.api.schemas.events import DOCUMENT_EVENT_NAMES, EVENT_NAMES, event_schemas
from app.api.schemas.fields import Id, Moment, Output
from app.errors import AppError

PROBLEM_CODES = sorted({code for error in subclasses(AppError) for code in codes_of(error)})
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "Id of the request: its own `X-Request-ID` if that is valid, else a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    },
    "Retry-After": {
        "description": "Seconds to wait before a retry.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Location": {"description": "Path of the created resource.", "required": True, "schema": {"type": "string"}},
    "Link": {
        "description": 'Link to the next page, with `rel="next"`; absent on the last page.',
        "schema": {"type": "string"},
    },
    "Idempotency-Replayed": {
        "description": "Present if an earlier request with this `Idempotency-Key` was accepted.",
        "schema": {"type": "string", "const": "true"},
    },
    "Preference-Applied": {
        "description": "Present if `Prefer: return=minimal` was applied.",
        "schema": {"type": "string", "const": "return=minimal"},
    },
    "Content-Disposition": {
        "description": "`attachment`, with the document's name.",
        "required": True,
        "schema": {"type": "string", "pattern": "^attachment"},
    },
}


class ProblemError(Output):
    """An invalid value: its place in the request and the reason."""

    pointer: str
    detail: str


class Problem(Output):
    """Problem details (RFC 9457): the reason why a request was refused or failed."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(json_schema_extra={"enum": [*PROBLEM_CODES]})
    request_id: str
    errors: list[ProblemError] | None = None
    conversation_id: Id | None = None
    message_id: Id | None = None
    resets_at: Moment | None = None


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document, which is built once: FastAPI's, with headers, links, problems and events added."""
    if app.openapi_schema is None:
        api = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        add_components(api["components"])
        for path in api["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    response["headers"] = response.get("headers", {}) | {"X-Request-ID": header_ref("X-Request-ID")}
                    if links := links_of(operation["operationId"], status):
                        response["links"] = links
                operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "accept"]
                for parameter in operation["parameters"]:
                    parameter["schema"] = without_null(parameter["schema"])
        app.openapi_schema = api
    return app.openapi_schema


def add_components(components: dict[str, Any]) -> None:
    """Add the response headers, the problem documents, and the events of streams with their data."""
    events = EVENT_NAMES | DOCUMENT_EVENT_NAMES
    models = [(model, "serialization") for model in (*events, Problem)]
    _, definitions = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]  # the mode is literal
    data = {f"{model.__name__}Data": definitions["$defs"].pop(model.__name__) for model in events}
    components["schemas"] |= definitions["$defs"] | data | event_schemas(events)
    components["headers"] = HEADERS


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null from a parameter's schema: parameters are left out instead."""
    kinds: list[dict[str, Any]] = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | kinds[0]
