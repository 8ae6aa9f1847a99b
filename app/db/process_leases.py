"""The leases of serving processes, by the database's clock."""

from __future__ import annotations

from app.db.transaction import Statement, Transaction, first_row

HOLDS = "SELECT 1 FROM processes WHERE process_id = $1 AND expires_at > {now}"
RENEW = """
INSERT INTO processes (process_id, started_at, expires_at) VALUES ($1, {now}, {now} + $2)
ON CONFLICT (process_id) DO UPDATE SET expires_at = excluded.expires_at"""
RESIGN = "DELETE FROM processes WHERE process_id = $1"
FORGET_DEAD = "DELETE FROM processes WHERE expires_at < {now} - $1 AND process_id <> $2"
FORGET_EARLIER_BOOTS = "DELETE FROM processes WHERE expires_at > {now} + $1"


def leased(row: str) -> str:
    """The condition that the process of a row, named by its alias, holds its lease."""
    return f"EXISTS (SELECT 1 FROM processes p WHERE p.process_id = {row}.process_id AND p.expires_at > {{now}})"


def stalled(row: str, judge: str) -> str:
    """The condition that no living process is at work on a row, as far as the process may say that whose id is bound.

    It never says so of itself, whose own tasks know better than a clock. While its own lease is over it says so of
    nobody: what ended that one (an outage, a host that stood still, a clock that was set) may have ended all others.
    """
    return (
        f"({row}.process_id IS NULL OR {row}.process_id <> {judge}) AND NOT {leased(row)} "
        f"AND EXISTS (SELECT 1 FROM processes j WHERE j.process_id = {judge} AND j.expires_at > {{now}})"
    )


def heartbeat(process_id: str, lease_ms: int) -> Transaction[bool]:
    """Make or renew a process's lease; return whether it still held one."""
    held = yield from first_row(Statement(HOLDS, (process_id,)))
    yield Statement(RENEW, (process_id, lease_ms))
    return held is not None


def resign(process_id: str) -> Transaction[None]:
    """End a process's lease at once."""
    yield Statement(RESIGN, (process_id,))


def try_out(process_id: str) -> Transaction[None]:
    """Make a lease and end it, so that a start says in a line why its database cannot be written to."""
    yield Statement(RENEW, (process_id, 0))
    yield Statement(RESIGN, (process_id,))


def forget_dead_processes(process_id: str, lease_ms: int) -> Transaction[None]:
    """Delete leases that ended long ago, but for the process's own."""
    yield Statement(FORGET_DEAD, (100 * lease_ms, process_id))


def forget_earlier_boots(lease_ms: int) -> Transaction[None]:
    """Delete leases that end later than any that is held: on SQLite, those from before the host's last start."""
    yield Statement(FORGET_EARLIER_BOOTS, (lease_ms,))
