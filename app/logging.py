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
    """Send all log records, those of libraries included, through one formatter."""
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [structlog.stdlib.ExtraAdder(), add_record_fields],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers(sys.stderr.isatty())],
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


def add_record_fields(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Prepend time, level and logger of a record to its event; drop the copy that uvicorn adds for its colours."""
    record: logging.LogRecord = event["_record"]
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    event.pop("color_message", None)
    return {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        **event,
    }


def renderers(readable: bool) -> list[Processor]:
    """Return the last processors: readable lines, in colour unless NO_COLOR is set, or JSON."""
    if readable:
        console = structlog.dev.ConsoleRenderer(
            colors=not os.environ.get("NO_COLOR"),
            timestamp_key="time",
            pad_event_to=EVENT_WIDTH,
            exception_formatter=structlog.dev.plain_traceback,
            sort_keys=False,
        )
        return [escape_controls, console]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=to_json_line)]


def escape_controls(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape the control characters of an event, which may repeat input from a client."""
    text = str(event["event"])
    event["event"] = text if text.isprintable() else ascii(text)[1:-1]
    return event


def to_json_line(line: dict[str, Any], **_: object) -> str:
    """Encode a line of JSON that no content can break: orjson escapes control characters."""
    try:
        return orjson.dumps(line, default=repr).decode()
    except (TypeError, ValueError):  # a lone surrogate
        return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()
