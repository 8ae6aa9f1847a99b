"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.json_encoding import json_bytes
from app.errors import AppError, DatabaseUnavailable, InternalError, InvalidRequest, MessageTooLong

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
CODES = {413: "payload-too-large"}
PLACES = {"body": "#", "query": "?", "path": "path", "header": "header"}

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Register the handlers that turn errors into problem documents."""
    app.add_exception_handler(AppError, on_app_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_exception)


def problem(
    request_id: str,
    error: AppError,
    errors: Sequence[dict[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build the response for an error; an error that points to one place in the request has only that in `errors`."""
    if isinstance(error, InvalidRequest) and error.pointer:
        errors = [{"pointer": error.pointer, "detail": error.detail}]
    document = {
        "type": "about:blank",
        "title": http.HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        **error.members,
    }
    if errors:
        document["errors"] = errors
    retry = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return Response(json_bytes(document), error.status, {**(headers or {}), **error.headers, **retry}, MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    """Return the id that the middleware has given the request."""
    return str(request.scope.get("request_id", ""))


async def on_app_error(request: Request, error: Exception) -> Response:
    """Respond to an error of this package; those with status 500 and above are logged."""
    assert isinstance(error, AppError)  # noqa: S101  registered for these
    if error.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        reason = {"reason": error.reason} if isinstance(error, DatabaseUnavailable) else {}
        log.warning("answered with %s", error.code, extra={"request_id": request_id_of(request), **reason})
    return problem(request_id_of(request), error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Respond to an error of the framework: a body that is too large or cannot be read."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for these
    if error.status_code == http.HTTPStatus.BAD_REQUEST:
        return problem(request_id_of(request), InvalidRequest("The body cannot be read; send it as UTF-8 JSON."))
    app_error = AppError(str(error.detail))
    app_error.status = error.status_code
    app_error.code = CODES.get(error.status_code, "error")
    return problem(request_id_of(request), app_error, headers=error.headers)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Respond to a request that does not fit its schema: every invalid place, but none of the values sent."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for these
    invalid = error.errors()
    if invalid[0]["type"] == "json_invalid":
        return problem(request_id_of(request), InvalidRequest("The body is not valid JSON; correct its syntax."))
    refusal = MessageTooLong() if invalid[0]["type"] == "message_too_long" else InvalidRequest()
    errors = [{"pointer": pointer(each["loc"]), "detail": each["msg"]} for each in invalid[:MAX_ERRORS]]
    if not isinstance(refusal, MessageTooLong):
        refusal.detail = f"{errors[0]['pointer']}: {errors[0]['detail']}"
    return problem(request_id_of(request), refusal, errors)


def pointer(location: Sequence[Any]) -> str:
    """Format a location: `#/message` in the body (RFC 6901), `?limit` in the query, `path/…` and `header/…`."""
    place, *names = location or ("body",)
    escaped = [str(name).replace("~", "~0").replace("/", "~1")[:100] for name in names]
    start = PLACES.get(str(place), str(place))
    joined = start + "/".join(escaped) if start == "?" else "/".join([start, *escaped])
    return joined.encode(errors="replace").decode()


def internal_error(request_id: str) -> Response:
    """Build the response for an unexpected exception."""
    return problem(request_id, InternalError())
