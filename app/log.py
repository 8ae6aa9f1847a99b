"""One JSON line per event, to standard error."""

from __future__ import annotations

import logging
import logging.config
from datetime import UTC, datetime

import orjson

RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "groq", "aiosqlite", "alembic")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, event, and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in RECORD_FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return dumped(line)


def dumped(line: dict[str, object]) -> str:
    """A line that no content can break: orjson escapes control characters."""
    try:
        return orjson.dumps(line, default=repr).decode()
    except (TypeError, ValueError):  # a lone surrogate
        return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()


def configure_logging(level: str) -> None:
    """Sends all that is logged, by libraries too, through one formatter."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {name: {"level": "WARNING"} for name in CHATTY},
        }
    )
