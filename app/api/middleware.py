"""Rules of every request, as one pure ASGI callable: an id, a path and method that are there, a bounded body."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import internal_error, pointer, problem
from app.api.route_table import RouteTable
from app.domain.ids import new_id
from app.errors import AppError, InvalidRequest, MethodNotAllowed, NotFound, PayloadTooLarge, UnsupportedMediaType

UPLOADS = ("POST", "/documents")
"""A form with a file, which its route reads and bounds by itself."""
MAX_BODY_BYTES = 512 * 1024
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
JSON_TYPE = re.compile(rb"application/([\w.+-]+\+)?json\s*(;|$)", re.IGNORECASE)

log = logging.getLogger(__name__)


class RequestMiddleware:
    """Wraps the application, which is to have these paths, behind a prefix where one is named."""

    def __init__(self, app: ASGIApp, paths: RouteTable, root_path: str = "") -> None:
        self._app = app
        self._paths = paths
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        root_path = scope["root_path"] = scope.get("root_path") or self._root_path
        answer = ResponseSender(send, request_id_from(headers.get(b"x-request-id")), root_path)
        scope["request_id"] = answer.request_id
        path = without_prefix(path_of(scope), root_path)
        scope["path"] = root_path + path
        uploads = (scope["method"], path) == UPLOADS
        refusal = self._refusal(scope, path) or (None if uploads else refused(headers))
        if refusal is not None:
            await problem(answer.request_id, refusal)(scope, receive, answer.send)
            return
        if b"transfer-encoding" in headers and not uploads:
            receive = bounded(receive)
        try:
            await self._serve(scope, receive, answer)
        except Exception:
            log.exception("a request failed", extra={"request_id": answer.request_id})
            if answer.started:
                raise
            await internal_error(answer.request_id)(scope, receive, answer.send)

    def _refusal(self, scope: Scope, path: str) -> AppError | None:
        methods = self._paths.methods_of(path)
        if methods is None:
            return NotFound()
        if scope["method"] not in methods:
            return MethodNotAllowed(methods)
        return repeated_parameter(scope["query_string"])

    async def _serve(self, scope: Scope, receive: Receive, answer: ResponseSender) -> None:
        if scope["method"] != "HEAD":
            await self._app(scope, receive, answer.send)
            return
        with contextlib.suppress(HeadSent):
            # A copy: the server goes by the method in its own whether a body is sent.
            await self._app({**scope, "method": "GET"}, receive, head_alone(answer.send))


class ResponseSender:
    """Sends a response, with the request's id in its header, and the service's prefix before its `Location`."""

    def __init__(self, send: Send, request_id: str, root_path: str) -> None:
        self.request_id = request_id
        self._root_path = root_path.encode()
        self.started = False
        self._send = send

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message["headers"], (b"x-request-id", self.request_id.encode())]
            if self._root_path:
                headers = [(name, self._root_path + value if name == b"location" else value) for name, value in headers]
            message["headers"] = headers
        await self._send(message)


class HeadSent(Exception):
    """The answer to HEAD is complete: what would make a body is left at once, before it costs anything."""


def head_alone(send: Send) -> Send:
    """Ends a response after its head, with `HeadSent`."""

    async def sent(message: Message) -> None:
        await send(message)
        await send({"type": "http.response.body"})
        raise HeadSent

    return sent


def path_of(scope: Scope) -> str:
    """The path without the slashes at its end; an escaped one, `%2F`, belongs to a name in it."""
    raw: bytes = scope["raw_path"]
    slashes = len(raw) - len(raw.rstrip(b"/"))
    return str(scope["path"])[: -slashes or None] or "/"


def without_prefix(path: str, root_path: str) -> str:
    """A path within the service: proxies take their prefix away, servers and mounts leave it or put it before."""
    if path == root_path or path.startswith(f"{root_path}/"):
        return path[len(root_path) :] or "/"
    return path


def request_id_from(given: bytes | None) -> str:
    """The caller's id for the request when it is a plain word, else a new one."""
    if given is not None and REQUEST_ID.fullmatch(given):
        return given.decode()
    return new_id()


def repeated_parameter(query: bytes) -> AppError | None:
    """Refuse a query that has a parameter more than once: which one is meant could only be guessed."""
    if b"&" not in query:
        return None
    counted = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    name, times = counted.most_common(1)[0] if counted else ("", 1)
    return (
        None
        if times == 1
        else InvalidRequest("The parameter is there more than once.", pointer=pointer(["query", name]))
    )


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
