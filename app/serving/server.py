"""The server of `parley serve`: one process, or the parent of several workers."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn

from app import NAME, VERSION
from app.factories import describe
from app.http.open_files import raise_open_files
from app.serving.http_protocol import ConnectionLimits, HttpProtocol
from app.serving.sockets import BACKLOG
from app.serving.workers import Workers
from app.settings import Settings

ANSWER_SECONDS = 2
"""Seconds for clients to read their responses after the drain; one that reads nothing would never end."""
OTHER_FILES = 128
"""Open files reserved for everything but clients: the database, providers, the document reader."""

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server, which logs a line when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info(self._ready)


def serve(settings: Settings, sockets: list[socket.socket]) -> None:
    """Serve on these sockets until a signal ends it.

    Raises:
        OSError: another process listens on the port by now.
        SystemExit: the application could not start; the reason is logged.
    """
    config = uvicorn.Config("app.main:app", **options(settings, raise_open_files()))
    ready = ready_line(settings, sockets)
    if settings.web_concurrency == 1:
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once all is closed
            Server(config, ready).run(sockets)
        return
    for each in sockets:
        each.listen(BACKLOG)  # here, where it can still fail for all workers at once
        each.set_inheritable(True)
    Workers(config, sockets, ready).run()


def options(settings: Settings, open_files: int) -> dict[str, Any]:
    """Build uvicorn's options for a limit of open files."""
    limits = ConnectionLimits(
        settings.header_seconds,
        settings.body_seconds,
        settings.max_connections or max(open_files - OTHER_FILES, open_files // 2),
    )
    return {
        "workers": settings.web_concurrency,
        "http": functools.partial(HttpProtocol, limits=limits),
        "backlog": BACKLOG,
        "timeout_keep_alive": settings.keep_alive_seconds,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": ANSWER_SECONDS,
    }


def ready_line(settings: Settings, sockets: Sequence[socket.socket]) -> str:
    """Format the log line with the service's address and main settings."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{sockets[0].getsockname()[1]}"
    by = "" if settings.web_concurrency == 1 else f" with {settings.web_concurrency} workers"
    return f"{NAME} {VERSION}: Uvicorn running on {address}{by}, {describe(settings)}. Press Ctrl+C to end it."
