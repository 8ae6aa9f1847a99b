"""Server-Sent Events as Parley sends them, parsed strictly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2


class Event(NamedTuple):
    """A Server-Sent Event; its id is a number, except for the last one's, such as `13-end`."""

    name: str
    id: Any
    data: Any


def parse_event(block: str) -> Event:
    """Parse one event from its three lines; heartbeats may precede them."""
    fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
    assert fields.keys() == {"id", "event", "data"}
    event_id = int(fields["id"]) if fields["id"].isdecimal() else fields["id"]
    return Event(fields["event"], event_id, json.loads(fields["data"]))


def parse_events(text: str) -> list[Event]:
    """Parse the whole body of a stream that has ended."""
    return [parse_event(block) for block in text.split("\n\n") if block]


async def live_events(response: httpx2.Response) -> AsyncIterator[Event]:
    """Yield the events of an open stream as they arrive."""
    rest = ""
    async for text in response.aiter_text():
        *blocks, rest = (rest + text).split("\n\n")
        for block in blocks:
            yield parse_event(block)
    assert not rest


async def wait_for_event(events: AsyncIterator[Event], name: str) -> Event:
    """Return the next event of that name, skipping those before it."""
    async for event in events:
        if event.name == name:
            return event
    raise AssertionError(f"the stream ended without {name}")
