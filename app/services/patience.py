from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from app.db.engine import Database
from app.db.script import ScriptFunction
from app.errors import DatabaseUnavailable
from app.services.backoff import Backoff

T = TypeVar("T")

log = logging.getLogger(__name__)


async def until_known(
    database: Database,
    script: ScriptFunction[T],
    *args: Any,
    reading: bool = False,
    retried: type[Exception] = DatabaseUnavailable,
    on_failure: Callable[[Exception], None] | None = None,
) -> T:
    """Retry a script until the database answers, and return its result.

    The script finds its own work done when only the acknowledgement of an earlier try was lost.

    Args:
        database: What runs it.
        script: What to run.
        args: What the script takes.
        reading: Whether the script only reads.
        retried: The errors that are retried; all of them for what may not be lost. Others are raised.
        on_failure: Gets each error that is retried.
    """
    backoff = Backoff()
    while True:
        try:
            return await (database.query if reading else database.transact)(script, *args)
        except retried as error:
            if not isinstance(error, DatabaseUnavailable):
                log.exception("a transaction failed, and is retried")
            if on_failure is not None:
                on_failure(error)
        await asyncio.sleep(backoff.pause())
