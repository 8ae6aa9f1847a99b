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
"""Duration of a statement during the trouble, until it fails."""


class TroubledDatabase:
    """A database that fails slowly for ten seconds and records the moments of lease renewals."""

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
def test_lease_survives_ten_seconds(tenths: int) -> None:
    """Ten seconds without the database, from any moment between two heartbeats, do not end the lease."""

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


def test_late_process_delays_recovery() -> None:
    """After an outage a process first gives others the time to renew their leases."""

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


def test_new_process_delays_recovery() -> None:
    """A process that has just started gives others the time to renew their leases."""

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
