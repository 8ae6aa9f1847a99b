"""Queries of the leases of serving processes, by the database's clock."""

from __future__ import annotations

from app.db.transaction import Statement, Transaction, first_row

LEASE_MS = 15_000
"""Milliseconds for which a heartbeat holds a process's lease."""

HOLDS = "SELECT 1 FROM processes WHERE process_id = $1 AND expires_at > {now}"
RENEW = """
INSERT INTO processes (process_id, started_at, expires_at) VALUES ($1, {now}, {now} + $2)
ON CONFLICT (process_id) DO UPDATE SET expires_at = excluded.expires_at"""
RELEASE = "DELETE FROM processes WHERE process_id = $1"
DELETE_EXPIRED = "DELETE FROM processes WHERE expires_at < {now} - $1 AND process_id <> $2"
DELETE_EARLIER_BOOTS = "DELETE FROM processes WHERE expires_at > {now} + $1"


def leased(row: str) -> str:
    """Return the predicate that the process of a row, given by its alias, holds its lease."""
    return f"EXISTS (SELECT 1 FROM processes p WHERE p.process_id = {row}.process_id AND p.expires_at > {{now}})"


def stalled(row: str, observer: str) -> str:
    """Return the predicate that no living process works on a row (given by its alias), as another process sees it.

    `observer` is the placeholder of that process's id. Its own rows are never stalled: its tasks are more reliable than
    a clock. While its own lease is over no row is stalled: what ended that lease (an outage, a suspended host, a clock
    that was set) may have ended all others.
    """
    return (
        f"({row}.process_id IS NULL OR {row}.process_id <> {observer}) AND NOT {leased(row)} "
        f"AND EXISTS (SELECT 1 FROM processes j WHERE j.process_id = {observer} AND j.expires_at > {{now}})"
    )


def heartbeat(process_id: str, lease_ms: int) -> Transaction[bool]:
    """Create or renew the lease of a process; return whether it held one."""
    held = yield from first_row(Statement(HOLDS, (process_id,)))
    yield Statement(RENEW, (process_id, lease_ms))
    return held is not None


def release(process_id: str) -> Transaction[None]:
    """End the lease of a process at once."""
    yield Statement(RELEASE, (process_id,))


def check_writable(process_id: str) -> Transaction[None]:
    """Create and end a lease, so that a start fails with a clear error if its database cannot be written to."""
    yield Statement(RENEW, (process_id, 0))
    yield Statement(RELEASE, (process_id,))


def delete_expired(process_id: str, lease_ms: int) -> Transaction[None]:
    """Delete leases that expired long ago, except the process's own."""
    yield Statement(DELETE_EXPIRED, (100 * lease_ms, process_id))


def delete_earlier_boots(lease_ms: int) -> Transaction[None]:
    """Delete leases that end later than any new one can: on SQLite, those from before the host's last start."""
    yield Statement(DELETE_EARLIER_BOOTS, (lease_ms,))
