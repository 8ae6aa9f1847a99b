"""Server-Sent Events (WHATWG HTML, section 9.2), written directly to ASGI: 20,000 a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.json_encoding import json_bytes

HEARTBEAT_SECONDS = 15.0
# One line: a comment followed by an empty line crashes the decoders of two SDKs.
HEARTBEAT = b": ping\n"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"

NOTHING_MORE: dict[int | str, dict[str, Any]] = {
    204: {
        "description": "`Last-Event-ID` is the id of the last event: there are no more events.",
        "headers": {"Cache-Control": {"schema": {"type": "string", "const": "no-store"}}},
    }
}


def event(name: str, event_id: int | str, data: Any) -> bytes:
    """Encode an event; a client resumes after it by sending its id as `Last-Event-ID`."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(event_id).encode(), name.encode(), json_bytes(data))


def nothing_more() -> Response:
    """Build the 204 that stops a browser's `EventSource` from reconnecting after the last event."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


class EventStream(Response):
    """A response that streams events until there are no more or the client disconnects; sends heartbeats meanwhile."""

    media_type = MEDIA_TYPE

    def __init__(self, events: AsyncGenerator[bytes, None], headers: dict[str, str] | None = None) -> None:
        super().__init__(headers=HEADERS | (headers or {}))
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's shape
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        streaming = asyncio.create_task(self._stream(send))
        tasks = [
            streaming,
            asyncio.create_task(wait_for_disconnect(receive)),
            asyncio.create_task(send_heartbeats(send)),
        ]
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


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_heartbeats(send: Send) -> None:
    """Send a comment every 15 s, so that proxies keep the connection open; a whole line may stand between events."""
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
