"""Server-Sent Events (WHATWG HTML, section 9.2) without a framework's machinery: 20,000 of them a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
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
    """One event; its id is from where on the reader would resume: characters of a reply that it has by then."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (position, name.encode(), orjson.dumps(data))


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
