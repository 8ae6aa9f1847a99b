from __future__ import annotations

import asyncio
from typing import TypeVar

from app.db.engine import Database
from app.db.script import ScriptFunction
from app.errors import DatabaseUnavailable

T = TypeVar("T")
AGAIN_SECONDS = 0.5


async def until_known(database: Database, script: ScriptFunction[T], *args: object) -> T:
    """What a transaction gives that finds its own work done when its acknowledgement was lost before."""
    while True:
        try:
            return await database.transact(script, *args)
        except DatabaseUnavailable:
            await asyncio.sleep(AGAIN_SECONDS)
