from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from httptools import HttpRequestParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.api.errors import problem
from app.api.middleware import request_id_from
from app.errors import AppError, BadRequest, HeadersTooLarge, Overloaded, RequestTimeout, UriTooLong
from app.serving.access_log import REFUSED, log_request, with_access_log
from app.serving.input_timer import InputTimer

MAX_URI_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
"""Bytes of headers, or of other input that is not a body, such as trailers."""
VERSIONS = {"1.0", "1.1"}
LINGER_SECONDS = 2.0
"""Seconds for which the rest of a refused request is read: closing at once would lose the response."""
MAX_REFUSED = 64
"""Refused connections that linger; the oldest is closed when another one is refused."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Time limits for a client's request, in seconds, and the number of connections of a process."""

    header_seconds: float = 10.0
    """From the start of a connection, or the first byte of a request, to the end of the headers."""
    body_seconds: float = 30.0
    """Without a byte of the body."""
    connections: int | None = None
    """Maximum; None for no limit."""
    refused: dict[asyncio.Protocol, asyncio.Transport] = field(default_factory=dict)
    """Connections beyond the limit that are still open, in the order of their refusal."""


class Part(Enum):
    """Part of a request to which the next bytes belong."""

    BEFORE = "before"
    HEAD = "head"
    BODY = "body"


DEFAULT_LIMITS = ConnectionLimits()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's connection, which answers malformed HTTP/1.1 and late input with problem documents."""

    def __init__(self, *args: Any, limits: ConnectionLimits = DEFAULT_LIMITS, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._timer = InputTimer(self.loop, lambda: self.flow.read_paused, self._time_out)
        self._awaited: tuple[Part, int] | None = None
        """Part and request number that the client has to send within the time limit; None while there is none."""
        self._requests = 0
        self._began_at = 0.0
        self._part = Part.BEFORE
        self._progressed = False
        """True if the last data began a request, ended one or its head, or held some of a body."""
        self._stalled_bytes = 0
        """Bytes received since such progress, all of which the parser keeps."""
        self._refusal: AppError | None = None
        self._offers_upgrade = False
        """True if the current request offers an upgrade to another protocol; it is parsed again without the offer."""
        self._rest_offset: int | None = None
        """Offset in the last data after the head of such a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """Accept a connection, or refuse it beyond the limit before it has sent anything."""
        super().connection_made(transport)
        limit, refused = self._limits.connections, self._limits.refused
        if limit is None or len(self.connections) <= limit:
            self._watch()
            return
        self.connections.discard(self)
        if len(refused) == MAX_REFUSED:
            refused.pop(next(iter(refused))).close()
        if not refused:  # once for a burst
            log.warning("connections are refused: MAX_CONNECTIONS is reached")
        refused[self] = transport
        self._refuse(Overloaded("The service has reached its limit of connections; retry later."))

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.stop()
        self._limits.refused.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._progressed = False
        super().data_received(data)
        rest = data
        while self._rest_offset is not None:
            rest, self._rest_offset = rest[self._rest_offset :], None
            self._restart_without_upgrade()
            if self._refusal is None:
                super().data_received(rest)
        self._stalled_bytes = 0 if self._progressed else self._stalled_bytes + len(data)
        if self._stalled_bytes > MAX_HEAD_BYTES and self._refusal is None:
            self._refuse(HeadersTooLarge())
        self._watch()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn returns None
        """Respond to a client that has closed its sending side, with an error if its request is incomplete.

        A client whose response has begun is taken to have disconnected, so that no stream goes on unread.
        """
        if self._part is not Part.BEFORE and self._refusal is None:
            self._refuse(BadRequest("The connection ended before the whole request arrived; send it again."))
        if self.cycle is None or self.cycle.response_complete or (self.cycle.response_started and not self.pipeline):
            return False
        if self._refusal is None:  # else it follows the last response
            self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        self._part, self._progressed = Part.HEAD, True
        self._requests += 1
        self._began_at = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URI_BYTES:
            raise UriTooLong

    def on_header(self, name: bytes, value: bytes) -> None:
        """Ignore trailers, which are not headers (RFC 9110, section 6.5.1)."""
        if self._part is Part.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            raise HeadersTooLarge
        if self.parser.get_http_version() not in VERSIONS:
            raise BadRequest("Send the request as HTTP/1.1.")
        self._progressed = True
        is_connect = self.parser.get_method() == b"CONNECT"
        self._offers_upgrade = self.parser.should_upgrade() and not is_connect and not self._should_upgrade()
        if self._offers_upgrade:
            return
        super().on_headers_complete()
        self._part = Part.BODY
        if is_connect:
            self.cycle.keep_alive = False  # later bytes would belong to a tunnel

    def on_body(self, body: bytes) -> None:
        self._progressed = True
        if not self.cycle.response_complete:  # else the rest of a refused body would be read without limit
            self._timer.restart()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offers_upgrade:
            return
        self._part, self._progressed = Part.BEFORE, True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with the next request, or refuse the input after the last one."""
        last = not self.pipeline
        super().on_response_complete()
        if last and self._refusal is not None:
            self._send(self._refusal)
        elif self._part is Part.BODY:  # the response was sent before the end of the body
            self._watch()

    def _unsupported_upgrade_warning(self) -> None:
        """Record where the parser stopped at an upgrade, which a server may ignore (RFC 9110, section 7.8)."""
        stopped = sys.exception()
        if self._offers_upgrade and stopped is not None:
            self._offers_upgrade, self._rest_offset = False, stopped.args[0]

    def _restart_without_upgrade(self) -> None:
        """Parse the head again without the upgrade, after which the parser would skip the body."""
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b\r\n" % each for each in self.headers if each[0] != b"upgrade"]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        super().data_received(b"".join([line, *kept, b"\r\n"]))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  always the same
        """Refuse the request with the error that a callback raised, or as malformed if the parser rejected it."""
        error = sys.exception()
        cause = error and error.__context__
        self._refuse(cause if isinstance(cause, AppError) else BadRequest())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        served: Any = with_access_log(app, cycle)
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False  # RFC 9110, section 10.1.1
            served = close_delimited(served, cycle)
        super()._start_asgi_task(cycle, served)

    def _watch(self) -> None:
        """Start or stop the time limit for what the client has to send next."""
        awaited = None if self._refusal is not None or self.transport.is_closing() else self._expected()
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if awaited is None:
            self._timer.stop()
        else:
            in_head = awaited[0] is Part.HEAD
            self._timer.start(self._limits.header_seconds if in_head else self._limits.body_seconds)

    def _expected(self) -> tuple[Part, int] | None:
        """Return the part that the client has to send now, with its request's number; None during a response.

        Between requests that is a head too: uvicorn's own timeout for idle connections ends with any byte.
        """
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._part is Part.BODY:
            return None if answering and self.cycle.response_started else (Part.BODY, self._requests)
        if self._part is Part.BEFORE:
            return None if answering else (Part.HEAD, self._requests + 1)
        return Part.HEAD, self._requests

    def _time_out(self) -> None:
        if self._part is Part.BEFORE:
            self.transport.close()
        else:
            self._refuse(RequestTimeout())

    def _refuse(self, error: AppError) -> None:
        """Refuse a request after the responses to earlier ones, and close the connection."""
        self._refusal = error
        self._timer.stop()
        earlier = self.cycle is not None and not self.cycle.response_complete
        if self._part is Part.BODY:
            waiting = bool(self.pipeline) and self.pipeline[0][0] is self.cycle
            if waiting:
                self.pipeline.popleft()
            elif self.cycle.response_started:  # the response was sent before the end of the body
                self.transport.close()
                return
            earlier = waiting
            self.cycle.scope["state"][REFUSED] = True
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not earlier:
            self._send(error)

    def _send(self, error: AppError) -> None:
        if self.transport.is_closing():
            return
        given = {} if self._part is Part.BEFORE else dict(self.headers)
        request_id = request_id_from(given.get(b"x-request-id"))
        if not isinstance(error, Overloaded):  # there is no request yet
            self._log(error, request_id)
        response = problem(request_id, error)
        response.headers["X-Request-ID"] = request_id
        response.headers["Connection"] = "close"
        head = [b"%b: %b\r\n" % each for each in (*self.server_state.default_headers, *response.raw_headers)]
        self.transport.write(b"".join([STATUS_LINE[error.status], *head, b"\r\n", bytes(response.body)]))
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _log(self, error: AppError, request_id: str) -> None:
        """Log a refusal with as much of its request as was parsed."""
        known = self._part is not Part.BEFORE
        method = str(self.scope.get("method", "")) if known else ""
        path = self.url.partition(b"?")[0].decode("latin-1") if known else ""
        seconds = self.loop.time() - self._began_at if known else 0.0
        log_request(method, path, error.status, seconds, request_id)


def close_delimited(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """Wrap an application for an HTTP/1.0 client, which does not support chunked encoding.

    A response without a length ends with its connection (RFC 9112, section 6.3).
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        unbounded = False

        async def send_delimited(message: Message) -> None:
            nonlocal unbounded
            if message["type"] == "http.response.start":
                unbounded = all(name != b"content-length" for name, _ in message["headers"])
                if unbounded:
                    cycle.chunked_encoding = True  # so that uvicorn does not send the header
            elif unbounded:
                # Each piece is written as a body of its own length.
                cycle.chunked_encoding, cycle.expected_content_length = False, len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_delimited)

    return serve
