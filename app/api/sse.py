"""Server-Sent Events (WHATWG HTML, section 9.2) without a framework's machinery: 20,000 of them a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.json_encoding import json_bytes

HEARTBEAT_SECONDS = 15.0
# One line: a comment with an empty line behind it crashes the decoders of two SDKs.
HEARTBEAT = b": ping\n"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"

NOTHING_MORE: dict[int | str, dict[str, Any]] = {
    204: {
        "description": "The reader's `Last-Event-ID` is that of the last event: there is nothing more.",
        "headers": {"Cache-Control": {"schema": {"type": "string", "const": "no-store"}}},
    }
}


def event(name: str, event_id: int | str, data: Any) -> bytes:
    """One event; its id is the `Last-Event-ID` with which its reader would go on behind it."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(event_id).encode(), name.encode(), json_bytes(data))


def nothing_more() -> Response:
    """The answer to a browser's `EventSource` that has had the last event: 204, upon which it stops."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


class EventStream(Response):
    """Sends what an iterator gives until it ends or the client has gone."""

    media_type = MEDIA_TYPE

    def __init__(self, events: AsyncGenerator[bytes, None], headers: dict[str, str] | None = None) -> None:
        super().__init__(headers=HEADERS | (headers or {}))
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's shape
        """See ASGI."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        streaming = asyncio.create_task(self._stream(send))
        tasks = [streaming, asyncio.create_task(disconnection(receive)), asyncio.create_task(beat(send))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.wait(tasks)
        if not streaming.cancelled():
            streaming.result()
            await send({"type": "http.response.body", "body": b""})

    async def _stream(self, send: Send) -> None:
        async with contextlib.aclosing(self._events) as events:
            async for body in events:
                await send({"type": "http.response.body", "body": body, "more_body": True})


async def disconnection(receive: Receive) -> None:
    """Waits until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def beat(send: Send) -> None:
    """Keeps a connection open through proxies; whole lines, so they may stand between any two events."""
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
