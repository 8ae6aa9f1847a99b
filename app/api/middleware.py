"""Rules of every request, as pure ASGI middleware: an id, a known path and method, a bounded body."""

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
"""Method and path of uploads, whose route reads and bounds the body itself."""
MAX_BODY_BYTES = 512 * 1024
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
JSON_TYPE = re.compile(rb"application/([\w.+-]+\+)?json\s*(;|$)", re.IGNORECASE)

log = logging.getLogger(__name__)


class RequestMiddleware:
    """Middleware around the application with these paths, below `root_path` unless the server names another prefix."""

    def __init__(self, app: ASGIApp, paths: RouteTable, root_path: str = "") -> None:
        self._app = app
        self._paths = paths
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        root_path = scope["root_path"] = scope.get("root_path") or self._root_path
        sender = ResponseSender(send, request_id_from(headers.get(b"x-request-id")), root_path)
        scope["request_id"] = sender.request_id
        path = without_prefix(path_of(scope), root_path)
        scope["path"] = root_path + path
        is_upload = (scope["method"], path) == UPLOADS
        refusal = self._refusal(scope, path) or (None if is_upload else check_body_headers(headers))
        if refusal is not None:
            await problem(sender.request_id, refusal)(scope, receive, sender.send)
            return
        if b"transfer-encoding" in headers and not is_upload:
            receive = limit_body(receive)
        try:
            await self._serve(scope, receive, sender)
        except Exception:
            log.exception("a request failed", extra={"request_id": sender.request_id})
            if sender.started:
                raise
            await internal_error(sender.request_id)(scope, receive, sender.send)

    def _refusal(self, scope: Scope, path: str) -> AppError | None:
        methods = self._paths.methods_of(path)
        if methods is None:
            return NotFound()
        if scope["method"] not in methods:
            return MethodNotAllowed(methods)
        return check_repeated_parameters(scope["query_string"])

    async def _serve(self, scope: Scope, receive: Receive, sender: ResponseSender) -> None:
        if scope["method"] != "HEAD":
            await self._app(scope, receive, sender.send)
            return
        with contextlib.suppress(HeadSent):
            # A copy: the server decides by the method in its own whether a body is sent.
            await self._app({**scope, "method": "GET"}, receive, head_only(sender.send))


class ResponseSender:
    """Adds the request id to a response's headers, and the service's prefix to its `Location`."""

    def __init__(self, send: Send, request_id: str, root_path: str) -> None:
        self.request_id = request_id
        self._root_path = root_path.encode()
        self.started = False
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message["headers"], (b"x-request-id", self.request_id.encode())]
            if self._root_path:
                headers = [(name, self._root_path + value if name == b"location" else value) for name, value in headers]
            message["headers"] = headers
        await self._send(message)


class HeadSent(Exception):
    """The response to HEAD is complete; aborts the route before it builds a body."""


def head_only(send: Send) -> Send:
    """Wrap `send`: complete the response after its headers, then raise HeadSent."""

    async def send_head(message: Message) -> None:
        await send(message)
        await send({"type": "http.response.body"})
        raise HeadSent

    return send_head


def path_of(scope: Scope) -> str:
    """Return the path without trailing slashes; an escaped one, `%2F`, is part of a name."""
    raw: bytes = scope["raw_path"]
    slashes = len(raw) - len(raw.rstrip(b"/"))
    return str(scope["path"])[: -slashes or None] or "/"


def without_prefix(path: str, root_path: str) -> str:
    """Return the path within the service: proxies remove their prefix, servers and mounts keep or add it."""
    if path == root_path or path.startswith(f"{root_path}/"):
        return path[len(root_path) :] or "/"
    return path


def request_id_from(given: bytes | None) -> str:
    """Return the client's id for the request if it is 1 to 128 printable characters, else a new one."""
    if given is not None and REQUEST_ID.fullmatch(given):
        return given.decode()
    return new_id()


def check_repeated_parameters(query: bytes) -> AppError | None:
    """Return the error for a query with a repeated parameter, whose meaning would be a guess; None without one."""
    if b"&" not in query:
        return None
    counted = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    name, times = counted.most_common(1)[0] if counted else ("", 1)
    if times == 1:
        return None
    return InvalidRequest("The parameter is repeated; send it once.", pointer=pointer(["query", name]))


def check_body_headers(headers: dict[bytes, bytes]) -> AppError | None:
    """Return the error of a body that its headers rule out: too large, or not JSON; None if it may be read."""
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" not in headers and length in {b"", b"0"}:
        return None
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        return PayloadTooLarge()
    if not JSON_TYPE.match(headers.get(b"content-type", b"")):
        return UnsupportedMediaType()
    return None


def limit_body(receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Wrap `receive`: raise the 413 error once a body of unknown length exceeds the limit."""
    size = 0

    async def receive_within_limit() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            # FastAPI lets no other exception through while it reads a body.
            raise HTTPException(PayloadTooLarge.status, PayloadTooLarge().detail)
        return message

    return receive_within_limit
