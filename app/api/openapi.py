"""The OpenAPI document, where FastAPI's own would say less or other than what is answered."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import Field
from pydantic.json_schema import models_json_schema

from app.api.error_codes import codes_of, subclasses
from app.api.openapi_links import links_of
from app.api.openapi_responses import REF, header
from app.api.schemas.events import DOCUMENT_EVENT_NAMES, EVENT_NAMES, event_schemas
from app.api.schemas.fields import Id, Moment, Output
from app.errors import AppError

PROBLEM_CODES = sorted({code for error in subclasses(AppError) for code in codes_of(error)})
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The request's own id where it has a plain one, else a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    },
    "Retry-After": {
        "description": "Seconds after which a retry may help.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Location": {"description": "The path of what was made.", "required": True, "schema": {"type": "string"}},
    "Link": {"description": 'The next page, with `rel="next"`, where there is one.', "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "There when the request was made before under its `Idempotency-Key`.",
        "schema": {"type": "string", "const": "true"},
    },
    "Preference-Applied": {
        "description": "There when `Prefer: return=minimal` was obeyed.",
        "schema": {"type": "string", "const": "return=minimal"},
    },
    "Content-Disposition": {
        "description": "`attachment`, with the document's name.",
        "required": True,
        "schema": {"type": "string", "pattern": "^attachment"},
    },
}


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
    code: str = Field(json_schema_extra={"enum": [*PROBLEM_CODES]})
    request_id: str
    errors: list[ProblemError] | None = None
    conversation_id: Id | None = None
    message_id: Id | None = None
    resets_at: Moment | None = None


def document(app: FastAPI) -> dict[str, Any]:
    """The document: routes as FastAPI describes them, and what no route's signature names."""
    if app.openapi_schema is None:
        api = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        add_components(api["components"])
        for path in api["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    response["headers"] = response.get("headers", {}) | {"X-Request-ID": header("X-Request-ID")}
                    if links := links_of(operation["operationId"], status):
                        response["links"] = links
                operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "accept"]
                for parameter in operation["parameters"]:
                    parameter["schema"] = without_null(parameter["schema"])
        app.openapi_schema = api
    return app.openapi_schema


def add_components(components: dict[str, Any]) -> None:
    """Adds the headers of answers, the problems, and the events of streams with their data."""
    events = EVENT_NAMES | DOCUMENT_EVENT_NAMES
    models = [(model, "serialization") for model in (*events, Problem)]
    _, definitions = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]  # the mode is literal
    data = {f"{model.__name__}Data": definitions["$defs"].pop(model.__name__) for model in events}
    components["schemas"] |= definitions["$defs"] | data | event_schemas(events)
    components["headers"] = HEADERS


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null: outside of JSON what is not there is left out."""
    kinds: list[dict[str, Any]] = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | kinds[0]
