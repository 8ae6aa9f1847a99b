"""Retry of a start's steps while the database is not ready, as when it is starting or recovering."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import DatabaseUnavailable

T = TypeVar("T")
WAIT_SECONDS = 60.0
LOG_INTERVAL_SECONDS = 5.0
RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)


async def when_ready(step: Callable[[], Awaitable[T]], seconds: float = WAIT_SECONDS) -> T:
    """Retry a step until the database is ready and return its result; log the reason every 5 seconds.

    Raises:
        DatabaseUnavailable: the database is not ready within so many seconds, or the outage does not end by itself.
    """
    began = time.monotonic()
    log_at = began
    while True:
        try:
            return await step()
        except DatabaseUnavailable as error:
            now = time.monotonic()
            if not error.transient or now - began >= seconds:
                raise
            if now >= log_at:
                log.warning("waiting for the database: %s", error.reason or error.detail)
                log_at = now + LOG_INTERVAL_SECONDS
        await asyncio.sleep(RETRY_SECONDS)
