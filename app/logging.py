"""Logs to standard error: one line of JSON for each event, or readable lines where that is a terminal."""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.types import EventDict, Processor

from app.llm.providers.registry import PROVIDERS

PROVIDER_LOGGERS = [logger for spec in PROVIDERS for logger in spec.loggers]
QUIET_LOGGERS = ("httpx", "httpx2", "httpcore", "httpcore2", *PROVIDER_LOGGERS, "aiosqlite", "alembic")
"""Loggers of which only warnings are shown."""
EVENT_WIDTH = 40


def configure_logging(level: str) -> None:
    """Send all that is logged, by libraries too, through one formatter."""
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [structlog.stdlib.ExtraAdder(), described],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered(sys.stderr.isatty())],
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"lines": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {name: {"level": "WARNING"} for name in QUIET_LOGGERS},
        }
    )


def described(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Put time, level and logger of a record before its event; leave out what uvicorn adds for its own colours."""
    record: logging.LogRecord = event["_record"]
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    event.pop("color_message", None)
    return {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        **event,
    }


def rendered(readable: bool) -> list[Processor]:
    """The last steps of a line's way: for people, with colours unless NO_COLOR is set, or for programs."""
    if readable:
        console = structlog.dev.ConsoleRenderer(
            colors=not os.environ.get("NO_COLOR"),
            timestamp_key="time",
            pad_event_to=EVENT_WIDTH,
            exception_formatter=structlog.dev.plain_traceback,
            sort_keys=False,
        )
        return [on_one_line, console]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=dumped)]


def on_one_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape the control characters of an event: a library may repeat in it what a client has sent."""
    text = str(event["event"])
    event["event"] = text if text.isprintable() else ascii(text)[1:-1]
    return event


def dumped(line: dict[str, Any], **_: object) -> str:
    """A line of JSON that no content can break: orjson escapes control characters."""
    try:
        return orjson.dumps(line, default=repr).decode()
    except (TypeError, ValueError):  # a lone surrogate
        return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()
