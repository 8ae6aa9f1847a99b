from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from app.logging import configure_logging


class Stream(io.StringIO):
    """Standard error that is a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(params=[False, True], ids=["program", "terminal"])
def stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    """Configure logging to a pipe and to a terminal, and give the stream."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    opened = Stream(terminal=request.param)
    monkeypatch.setattr(sys, "stderr", opened)
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logging("info")
    yield opened
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_event_is_one_line(stream: Stream) -> None:
    """A record is one line whatever its message and extras hold: JSON for programs, readable on a terminal."""
    hostile = "a\r\nSet-Cookie: \x1b[31m\u2028\ud800"
    logging.getLogger("app.somewhere").warning("hello %s", hostile, extra={"path": hostile, "status": 200})
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert not set("\r\x1b\u2028") & set(line)
    if stream.isatty():
        assert "[warning" in line
        assert "hello a\\r\\nSet-Cookie" in line
        assert "status=200" in line
    else:
        assert {"time", "level", "logger", "event", "path", "status"} == json.loads(line).keys()


def test_exception_has_a_traceback(stream: Stream) -> None:
    """An exception is logged with its traceback, on a terminal in lines of its own."""
    try:
        raise ValueError("reason")
    except ValueError:
        logging.getLogger("app.somewhere").exception("broke")
    shown = stream.getvalue() if stream.isatty() else json.loads(stream.getvalue())["exception"]
    assert "Traceback (most recent call last)" in shown
    assert "ValueError: reason" in shown
