from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from app.db.database import Database
from app.db.process_leases import LEASE_MS
from app.errors import DatabaseUnavailable
from app.services.runtime.polling import Supervisor
from app.services.runtime.process_lease import ProcessLease
from app.services.runtime.timings import Timings
from tests.support.clock import run

TIMINGS = Timings()
TROUBLE_SECONDS = 10.0
STATEMENT_SECONDS = 1.0
"""How long a statement takes while there is trouble, until it fails."""


class TroubledDatabase:
    """A database that fails for ten seconds, slowly, and keeps the moments at which a lease was renewed."""

    kind = "postgresql"

    def __init__(self, trouble_at: float) -> None:
        self.trouble_at = trouble_at
        self.renewed_at: list[float] = []

    async def write(self, *_: Any) -> bool:
        now = asyncio.get_running_loop().time
        if self.trouble_at <= now() < self.trouble_at + TROUBLE_SECONDS:
            await asyncio.sleep(STATEMENT_SECONDS)
            raise DatabaseUnavailable
        self.renewed_at.append(now())
        return True


@pytest.mark.parametrize("tenths", range(0, 10 * int(TIMINGS.heartbeat) + 1, 3))
def test_a_lease_outlasts_ten_seconds_of_trouble(tenths: int) -> None:
    """Wherever between two heartbeats it begins, the lease is renewed before it is over."""

    async def main() -> None:
        now = asyncio.get_running_loop().time
        database = TroubledDatabase(6 * TIMINGS.heartbeat + tenths / 10)
        lease = ProcessLease(cast("Database", database), "process", TIMINGS, now)
        supervisor = Supervisor(TIMINGS, now)
        await lease.start()
        supervisor.start([lease.poller()])
        while now() < database.trouble_at + 2 * TROUBLE_SECONDS:
            assert not lease.expired
            await asyncio.sleep(0.1)
        await supervisor.stop()
        gaps = [after - before for before, after in zip(database.renewed_at, database.renewed_at[1:], strict=False)]
        assert TROUBLE_SECONDS < max(gaps) < LEASE_MS / 1000

    run(main())


def test_who_was_late_judges_nobody_yet() -> None:
    """After an outage that this process's lease has outlasted, another's may be over: it gets the time to renew it."""

    async def main() -> None:
        now = asyncio.get_running_loop().time
        database = TroubledDatabase(6 * TIMINGS.heartbeat + 0.1)
        lease = ProcessLease(cast("Database", database), "process", TIMINGS, now)
        supervisor = Supervisor(TIMINGS, now)
        await lease.start()
        supervisor.start([lease.poller()])
        await asyncio.sleep(database.trouble_at - 0.05)
        assert lease.may_recover
        await asyncio.sleep(TROUBLE_SECONDS + 3)
        assert now() - database.renewed_at[-1] < TIMINGS.heartbeat
        assert not lease.may_recover
        await asyncio.sleep(LEASE_MS / 1000)
        assert lease.may_recover
        await supervisor.stop()

    run(main())


def test_who_has_just_started_judges_nobody_yet() -> None:
    """It may have started in an outage that has ended the leases of others, which are renewed within a second."""

    async def main() -> None:
        now = asyncio.get_running_loop().time
        lease = ProcessLease(cast("Database", TroubledDatabase(LEASE_MS)), "process", TIMINGS, now)
        await lease.start()
        assert not lease.may_recover
        await asyncio.sleep(TIMINGS.longest_heartbeat_backoff + 0.5)
        assert not lease.may_recover
        await asyncio.sleep(TIMINGS.longest_heartbeat_backoff)
        assert lease.may_recover

    run(main())
