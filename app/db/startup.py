"""The patience of a start: a database that is not ready yet, as while it starts or recovers, is waited for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import DatabaseUnavailable

T = TypeVar("T")
WAIT_SECONDS = 60.0
LINE_SECONDS = 5.0
RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)


async def when_ready(step: Callable[[], Awaitable[T]], seconds: float = WAIT_SECONDS) -> T:
    """The result of a step, which is tried again while the database may become ready; a line every 5 seconds says why.

    Raises:
        DatabaseUnavailable: it was not within so many seconds, or waiting does not help.
    """
    began = time.monotonic()
    line_at = began
    while True:
        try:
            return await step()
        except DatabaseUnavailable as error:
            now = time.monotonic()
            if not error.passing or now - began >= seconds:
                raise
            if now >= line_at:
                log.warning("waiting for the database: %s", error.reason or error.detail)
                line_at = now + LINE_SECONDS
        await asyncio.sleep(RETRY_SECONDS)
