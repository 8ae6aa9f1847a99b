from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sized

from app.errors import DatabaseUnavailable

LOOK_SECONDS = 0.5

log = logging.getLogger(__name__)


async def look_again(watched: Sized, nudged: asyncio.Event, look: Callable[[], Awaitable[None]], what: str) -> None:
    """Looks at rows twice a second while there is something to watch, and when nudged, for ever."""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(nudged.wait(), LOOK_SECONDS if watched else None)
        nudged.clear()
        try:
            await look()
        except DatabaseUnavailable:
            log.warning("cannot follow %s: the database is out of reach", what)
