from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.api.errors import problem
from app.api.middleware import request_id_from
from app.errors import BadRequest

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Accept",
    "Authorization",
    "Cache-Control",  # polyfills of EventSource send it
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Prefer",
    "X-Request-ID",
)
ANSWER_HEADERS = ("Link", "Location", "X-Request-ID", "Retry-After", "Idempotency-Replayed", "Preference-Applied")
MAX_AGE_SECONDS = 7200
"""Seconds for which a browser may keep a preflight's answer; Chromium keeps none for longer."""


class Cors(CORSMiddleware):
    """Lets pages of some origins, or of any with `*`, call the service (WHATWG Fetch, section 3.2); without cookies.

    It stands before all else, so that a page may read refusals too.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
            max_age=MAX_AGE_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answers a preflight, with a request id as any other request; a refusal is a problem."""
        request_id = request_id_from(request_headers.get("x-request-id", "").encode("latin-1"))
        response = super().preflight_response(request_headers)
        if response.status_code != 200:
            vary = {"Vary": response.headers["vary"]}
            response = problem(request_id, BadRequest("This origin, method or header is not allowed."), headers=vary)
        response.headers["X-Request-ID"] = request_id
        return response
