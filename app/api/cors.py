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
    "Cache-Control",  # sent by polyfills of EventSource
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Prefer",
    "X-Request-ID",
)
EXPOSED_HEADERS = ("Link", "Location", "X-Request-ID", "Retry-After", "Idempotency-Replayed", "Preference-Applied")
MAX_AGE_SECONDS = 7200
"""Seconds for which a browser may cache a preflight's response; Chromium's own limit."""


class Cors(CORSMiddleware):
    """CORS without cookies for some origins, or for all with `*` (WHATWG Fetch, section 3.2).

    It wraps all other middleware, so that pages can read errors too.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=MAX_AGE_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Build the response to a preflight request: with a request id, and with a problem document if refused."""
        request_id = request_id_from(request_headers.get("x-request-id", "").encode("latin-1"))
        response = super().preflight_response(request_headers)
        if response.status_code != 200:
            vary = {"Vary": response.headers["vary"]}
            response = problem(
                request_id,
                BadRequest("This origin, method or header is not allowed; CORS_ORIGINS sets the origins."),
                headers=vary,
            )
        response.headers["X-Request-ID"] = request_id
        return response
