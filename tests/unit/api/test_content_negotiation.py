from __future__ import annotations

import pytest

from app.api.content_negotiation import prefers

EVENTS, JSON = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    "accept",
    [
        "text/event-stream",
        "Text/Event-Stream",
        "text/event-stream;q=0.1",
        "text/event-stream; charset=utf-8",
        "text/event-stream;q=0.001",
        "application/json;q=0.5, text/event-stream",
        "application/json;q=0.5,text/event-stream;q=0.6",
        "application/json, text/event-stream",
        "text/event-stream, application/json",
        "text/event-stream, */*",
        "text/event-stream;q=0.9, */*;q=0.1",
        "text/event-stream;q=0.2, application/*;q=0.1, */*;q=0.9",
        "text/event-stream ; Q=1.000 , application/json ; q=0.999",
        "text/event-stream, application/json;q=0",
        "text/event-stream;q=0.5, image/png",
        ", ,text/event-stream,",
        'image/png;title="a, b", text/event-stream',
    ],
)
def test_stream_preferred(accept: str) -> None:
    """An event stream is preferred if it is named and weighs at least as much as JSON, by its most specific range."""
    assert prefers(accept, EVENTS, JSON)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/*",
        "application/json",
        "text/event-streams",
        "text/html, application/xhtml+xml, */*;q=0.8",
        "text/event-stream;q=0",
        "text/event-stream;q=0.000",
        "text/event-stream;q=0, application/json;q=0",
        "application/json, text/event-stream;q=0.5",
        "text/event-stream;q=0.5, application/*",
        "text/event-stream;q=0.5, */*",
        "text/event-stream;q=0.2, application/json;q=0.3, */*;q=0.1",
        "text/event-stream;q=x",
        "text/event-stream;q=2",
        "text/event-stream;q=-1",
        "text/event-stream;q=",
        "text/event-stream;q=1.5",
        "text/event-stream;q=1;q=0",
        "text/event-stream/x",
        "text /event-stream",
        'application/json;x="text/event-stream"',
        'application/json;x=", text/event-stream,"',
    ],
)
def test_json_preferred(accept: str) -> None:
    """JSON is preferred if the event stream is not named, weighs less or nothing, or the header is malformed."""
    assert not prefers(accept, EVENTS, JSON)
