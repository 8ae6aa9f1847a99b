"""The access log: one line per request that was answered or whose client disconnected."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

PROBES = {"/livez", "/readyz"}
"""Polled every few seconds by orchestrators, so logged at debug level."""
LOGGED_PATH_CHARACTERS = 200
REFUSED = "parley.refused"
"""Key in the state of a request that the connection refuses, and logs, itself."""

log = logging.getLogger(__name__)


def with_access_log(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """Wrap an application for one request of a connection: log it when the response has ended."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]  # before the application changes them
        status: int | None = None
        request_id = ""
        began = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = next((value.decode() for name, value in message["headers"] if name == b"x-request-id"), "")
            await send(message)

        try:
            await app(scope, receive, send_and_note)
        finally:
            if REFUSED not in scope["state"]:
                log_request(method, path, status, time.perf_counter() - began, request_id, left=cycle.disconnected)

    return serve


def log_request(
    method: str, path: str, status: int | None, seconds: float, request_id: str, *, left: bool = False
) -> None:
    """Log a request and its status; None if the client disconnected before the response."""
    level = logging.DEBUG if path in PROBES else logging.INFO
    if log.isEnabledFor(level):
        fields = {
            "method": method,
            "path": path[:LOGGED_PATH_CHARACTERS],
            "status": status,
            "ms": round(seconds * 1000, 1),
            "request_id": request_id,
        }
        log.log(level, "client left" if left else "answered", extra=fields)
