"""What holds for every request, as one pure ASGI callable: an id, one path per resource, a bounded JSON body."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import internal_error, problem
from app.domain.ids import new_id
from app.errors import AppError, PayloadTooLarge, UnsupportedMediaType

UPLOADS = ("POST", "/documents")
"""A form with a file, which its route reads and bounds by itself."""
MAX_BODY_BYTES = 512 * 1024
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
JSON_TYPE = re.compile(rb"application/([\w.+-]+\+)?json\s*(;|$)", re.IGNORECASE)

log = logging.getLogger(__name__)


class Edge:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = request_id_from(headers.get(b"x-request-id"))
        scope["request_id"] = request_id
        scope["path"] = path_of(scope)
        answer = Answer(send, request_id)
        uploads = (scope["method"], scope["path"]) == UPLOADS
        refusal = None if uploads else refused(headers)
        if refusal is not None:
            await problem(request_id, refusal)(scope, receive, answer.send)
        elif b"transfer-encoding" in headers and not uploads:
            await self._serve(scope, bounded(receive), answer)
        else:
            await self._serve(scope, receive, answer)

    async def _serve(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            log.exception("a request failed", extra={"request_id": answer.request_id})
            if answer.started:
                raise
            await internal_error(answer.request_id)(scope, receive, answer.send)


class Answer:
    """Sends a response, with the request's id in its header."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.started = False
        self._send = send

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [*message["headers"], (b"x-request-id", self.request_id.encode())]
        await self._send(message)


def path_of(scope: Scope) -> str:
    """The path without the slashes at its end; an escaped one, `%2F`, belongs to a name in it."""
    raw: bytes = scope["raw_path"]
    slashes = len(raw) - len(raw.rstrip(b"/"))
    return str(scope["path"])[: -slashes or None] or "/"


def request_id_from(given: bytes | None) -> str:
    """The caller's id for the request when it is a plain word, else a new one."""
    if given is not None and REQUEST_ID.fullmatch(given):
        return given.decode()
    return new_id()


def refused(headers: dict[bytes, bytes]) -> AppError | None:
    """Why a body is not even read, going by its headers."""
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" not in headers and length in {b"", b"0"}:
        return None
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        return PayloadTooLarge()
    if not JSON_TYPE.match(headers.get(b"content-type", b"")):
        return UnsupportedMediaType()
    return None


def bounded(receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Stops reading a body of unknown length once it is too long."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            # FastAPI lets no other exception through while it reads a body.
            raise HTTPException(PayloadTooLarge.status, PayloadTooLarge().detail)
        return message

    return counted
