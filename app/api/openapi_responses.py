"""Responses of operations for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.api.error_codes import codes_of
from app.api.errors import MEDIA_TYPE
from app.errors import (
    AppError,
    BadRequest,
    ContextTooLong,
    ConversationBusy,
    ConversationNotFound,
    DatabaseUnavailable,
    Draining,
    HeadersTooLarge,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    MessageTooLong,
    Overloaded,
    PayloadTooLarge,
    ProviderAuth,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnavailable,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    TurnInterrupted,
    UnknownModel,
    UnsupportedMediaType,
    UriTooLong,
)

Responses = dict[int | str, dict[str, Any]]

REF = "#/components/schemas/{model}"
WITH_RETRY_AFTER = {429, 503}
ANY_REQUEST: tuple[type[AppError], ...] = (
    BadRequest,
    PayloadTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    InvalidRequest,
    HeadersTooLarge,
    InternalError,
)
TURN: tuple[type[AppError], ...] = (
    ConversationNotFound,
    ConversationBusy,
    QueueFull,
    UnknownModel,
    MessageTooLong,
    ContextTooLong,
    IdempotencyKeyReused,
    RateLimited,
    QuotaExceeded,
    ProviderFailed,
    ProviderAuth,
    ProviderTruncated,
    TurnInterrupted,
    ProviderRateLimited,
    ProviderUnavailable,
    Overloaded,
    Draining,
    DatabaseUnavailable,
    ProviderTimeout,
)
"""Errors that refuse a turn, or end it after it was accepted."""


def with_headers(*names: str) -> dict[str, Any]:
    """Declare headers of a response, by their names in the document's components."""
    return {"headers": {name: header_ref(name) for name in names}}


def header_ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def refusals(*errors: type[AppError]) -> Responses:
    """Describe the errors of an operation by status: its own, and those of every request."""
    by_status: dict[int | str, list[type[AppError]]] = {}
    for error in (*ANY_REQUEST, *errors):
        by_status.setdefault(error.status, []).append(error)
    return {status: problem_response(by_status[status]) for status in sorted(by_status)}


def problem_response(errors: Sequence[type[AppError]]) -> dict[str, Any]:
    """Describe the response for errors of one status: its codes and their meanings."""
    meanings = [f"`{code}`: {error.__doc__}" for error in errors for code in codes_of(error)]
    codes = [code for error in errors for code in codes_of(error)]
    schema = {"$ref": REF.format(model="Problem"), "properties": {"code": {"enum": codes}}}
    response = {"description": "\n\n".join(meanings), "content": {MEDIA_TYPE: {"schema": schema}}}
    return response | with_headers("Retry-After") if errors[0].status in WITH_RETRY_AFTER else response
