from __future__ import annotations

import sys
from enum import Enum
from typing import Any

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.middleware import request_id_from
from app.api.problems import problem
from app.errors import AppError, BadRequest, HeadersTooLarge, UriTooLong

MAX_URI_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
"""Bytes of headers, and of whatever else comes in several pieces without being a body, such as trailers."""
VERSIONS = {"1.0", "1.1"}
LINGER_SECONDS = 2.0
"""How long the rest of a refused request is read, unseen: a connection that is closed on it loses the refusal."""


class Place(Enum):
    """Where in a request the bytes are that come next."""

    BEFORE = "before"
    HEAD = "head"
    BODY = "body"


class HttpProtocol(HttpToolsProtocol):
    """A connection of uvicorn's, on which broken HTTP/1.1 is refused with a problem, as all else is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._place = Place.BEFORE
        self._moved = False
        """Whether the last piece of data began a request, ended one or a head, or held some of a body."""
        self._unmoved_bytes = 0
        """How much has come since then: the parser keeps it all."""
        self._refusal: AppError | None = None
        self._offered = False
        """Whether the request that is being read offers another protocol, and is begun anew without the offer."""
        self._rest_at: int | None = None
        """Where in the last piece of data it goes on behind its head."""

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

    def _refuse(self, error: AppError) -> None:
        """Refuses a request once those before it are answered, and the connection with it."""
        self._refusal = error
        earlier = self.cycle is not None and not self.cycle.response_complete
        if self._place is Place.BODY:
            waiting = bool(self.pipeline) and self.pipeline[0][0] is self.cycle
            if waiting:
                self.pipeline.popleft()
            elif self.cycle.response_started:  # it was answered before its end, and is not answered twice
                self.transport.close()
                return
            earlier = waiting
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not earlier:
            self._send(error)

    def _send(self, error: AppError) -> None:
        if self.transport.is_closing():
            return
        given = {} if self._place is Place.BEFORE else dict(self.headers)
        request_id = request_id_from(given.get(b"x-request-id"))
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
