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
from app.serving.access_log import REFUSED, log_request, logged
from app.serving.input_timer import InputTimer

MAX_URI_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
"""Bytes of headers, and of whatever else comes in several pieces without being a body, such as trailers."""
VERSIONS = {"1.0", "1.1"}
LINGER_SECONDS = 2.0
"""Seconds for which the rest of a refused request is read: closing the connection on it would lose the refusal."""
REFUSED_AT_ONCE = 64
"""Connections beyond the limit that linger; the first of them goes when a further one is refused."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Time limits for a client's request, in seconds, and the number of connections of a process."""

    header_seconds: float = 10.0
    """From a connection's begin, or a request's first byte, to the end of the headers."""
    body_seconds: float = 30.0
    """Without a byte of the body."""
    connections: int | None = None
    """At most; None for any number."""
    refused: dict[asyncio.Protocol, asyncio.Transport] = field(default_factory=dict)
    """Connections beyond the limit that have not been closed yet, in the order of their refusal."""


class Place(Enum):
    """The part of a request to which the next bytes belong."""

    BEFORE = "before"
    HEAD = "head"
    BODY = "body"


DEFAULT_LIMITS = ConnectionLimits()


class HttpProtocol(HttpToolsProtocol):
    """A connection of uvicorn's that refuses broken HTTP/1.1, and what does not come in time, with a problem."""

    def __init__(self, *args: Any, limits: ConnectionLimits = DEFAULT_LIMITS, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._timer = InputTimer(self.loop, lambda: self.flow.read_paused, self._time_out)
        self._awaited: tuple[Place, int] | None = None
        """The part that the client has to send next, in time: a head or a body, and of which request."""
        self._requests = 0
        self._began_at = 0.0
        self._place = Place.BEFORE
        self._moved = False
        """True if the last piece of data began a request, ended one or a head, or held some of a body."""
        self._unmoved_bytes = 0
        """Bytes that have come since then: the parser keeps it all."""
        self._refusal: AppError | None = None
        self._offered = False
        """True if the request that is being read offers another protocol, and is begun anew without the offer."""
        self._rest_at: int | None = None
        """Offset in the last piece of data at which it goes on behind its head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """See asyncio; a connection beyond the limit is refused before it has sent anything."""
        super().connection_made(transport)
        limit, refused = self._limits.connections, self._limits.refused
        if limit is None or len(self.connections) <= limit:
            self._watch()
            return
        self.connections.discard(self)
        if len(refused) == REFUSED_AT_ONCE:
            refused.pop(next(iter(refused))).close()
        if not refused:  # once for all that come in these seconds
            log.warning("connections are refused: there are as many as MAX_CONNECTIONS")
        refused[self] = transport
        self._refuse(Overloaded("The service has as many connections as it takes."))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._timer.stop()
        self._limits.refused.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._refusal is not None:
            return
        self._moved = False
        super().data_received(data)
        rest = data
        while self._rest_at is not None:
            rest, self._rest_at = rest[self._rest_at :], None
            self._begin_anew()
            if self._refusal is None:
                super().data_received(rest)
        self._unmoved_bytes = 0 if self._moved else self._unmoved_bytes + len(data)
        if self._unmoved_bytes > MAX_HEAD_BYTES and self._refusal is None:
            self._refuse(HeadersTooLarge())
        self._watch()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn has no use for what asyncio does
        """See asyncio; a client that only has no more to send is answered, if only that this was not enough.

        Whoever has begun to be answered is taken to have gone: a stream is not kept for nobody.
        """
        if self._place is not Place.BEFORE and self._refusal is None:
            self._refuse(BadRequest("The request was cut."))
        if self.cycle is None or self.cycle.response_complete or (self.cycle.response_started and not self.pipeline):
            return False
        if self._refusal is None:  # else that comes behind the last answer
            self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """See httptools."""
        self._place, self._moved = Place.HEAD, True
        self._requests += 1
        self._began_at = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        super().on_url(url)
        if len(self.url) > MAX_URI_BYTES:
            raise UriTooLong

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools; trailers are no headers (RFC 9110, section 6.5.1), and nothing here reads them."""
        if self._place is Place.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            raise HeadersTooLarge
        if self.parser.get_http_version() not in VERSIONS:
            raise BadRequest("The service speaks HTTP/1.1.")
        self._moved = True
        is_connect = self.parser.get_method() == b"CONNECT"
        self._offered = self.parser.should_upgrade() and not is_connect and not self._should_upgrade()
        if self._offered:
            return
        super().on_headers_complete()
        self._place = Place.BODY
        if is_connect:
            self.cycle.keep_alive = False  # what comes next would belong to a tunnel

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._moved = True
        if not self.cycle.response_complete:  # else the rest of a refused body would be read for as long as it comes
            self._timer.restart()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._offered:
            return
        self._place, self._moved = Place.BEFORE, True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Goes on with the next request, or with the refusal of what came behind the last."""
        last = not self.pipeline
        super().on_response_complete()
        if last and self._refusal is not None:
            self._send(self._refusal)
        elif self._place is Place.BODY:  # it was answered before its end
            self._watch()

    def _unsupported_upgrade_warning(self) -> None:
        """Notes where the parser has stopped at an offer, which a server may pass over (RFC 9110, section 7.8)."""
        stopped = sys.exception()
        if self._offered and stopped is not None:
            self._offered, self._rest_at = False, stopped.args[0]

    def _begin_anew(self) -> None:
        """Has the parser, which skips the body behind an offer, read the head once more without it."""
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b\r\n" % each for each in self.headers if each[0] != b"upgrade"]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        super().data_received(b"".join([line, *kept, b"\r\n"]))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's sentence is the same for all
        """Refuses what the parser, or a callback above, has raised an error at."""
        error = sys.exception()
        cause = error and error.__context__
        self._refuse(cause if isinstance(cause, AppError) else BadRequest())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        served: Any = logged(app, cycle)
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False  # RFC 9110, section 10.1.1
            served = close_delimited(served, cycle)
        super()._start_asgi_task(cycle, served)

    def _watch(self) -> None:
        """Time what the client has to send next, if it is its turn."""
        awaited = None if self._refusal is not None or self.transport.is_closing() else self._expected()
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if awaited is None:
            self._timer.stop()
        else:
            in_head = awaited[0] is Place.HEAD
            self._timer.start(self._limits.header_seconds if in_head else self._limits.body_seconds)

    def _expected(self) -> tuple[Place, int] | None:
        """Return the part that has to come now, and its request's number; None while an answer is made or sent.

        Between requests that is a head as well: uvicorn's own clock for idle connections stops at any byte.
        """
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._place is Place.BODY:
            return None if answering and self.cycle.response_started else (Place.BODY, self._requests)
        if self._place is Place.BEFORE:
            return None if answering else (Place.HEAD, self._requests + 1)
        return Place.HEAD, self._requests

    def _time_out(self) -> None:
        if self._place is Place.BEFORE:
            self.transport.close()
        else:
            self._refuse(RequestTimeout())

    def _refuse(self, error: AppError) -> None:
        """Refuses a request once those before it are answered, and the connection with it."""
        self._refusal = error
        self._timer.stop()
        earlier = self.cycle is not None and not self.cycle.response_complete
        if self._place is Place.BODY:
            waiting = bool(self.pipeline) and self.pipeline[0][0] is self.cycle
            if waiting:
                self.pipeline.popleft()
            elif self.cycle.response_started:  # it was answered before its end, and is not answered twice
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
        given = {} if self._place is Place.BEFORE else dict(self.headers)
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
        """Log a refusal with as much of its request as was understood."""
        known = self._place is not Place.BEFORE
        method = str(self.scope.get("method", "")) if known else ""
        path = self.url.partition(b"?")[0].decode("latin-1") if known else ""
        seconds = self.loop.time() - self._began_at if known else 0.0
        log_request(method, path, error.status, seconds, request_id)


def close_delimited(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """Wrap an application for a client of HTTP/1.0, which knows no chunks.

    An answer without a length ends with its connection (RFC 9112, section 6.3).
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        unbounded = False

        async def delimited(message: Message) -> None:
            nonlocal unbounded
            if message["type"] == "http.response.start":
                unbounded = all(name != b"content-length" for name, _ in message["headers"])
                if unbounded:
                    cycle.chunked_encoding = True  # so that uvicorn does not announce it
            elif unbounded:
                # Each piece is a body of its length, written as it is.
                cycle.chunked_encoding, cycle.expected_content_length = False, len(message.get("body", b""))
            await send(message)

        await app(scope, receive, delimited)

    return serve
