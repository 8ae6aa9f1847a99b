"""The leases of serving processes, by the database's clock."""

from __future__ import annotations

from app.db.script import Script, Statement


def heartbeat(process_id: str, lease_ms: int) -> Script[None]:
    """Makes or renews a process's lease."""
    yield Statement(
        "INSERT INTO processes (process_id, started_at, expires_at) VALUES ($1, {now}, {now} + $2) "
        "ON CONFLICT (process_id) DO UPDATE SET expires_at = excluded.expires_at",
        (process_id, lease_ms),
    )


def resign(process_id: str) -> Script[None]:
    """Ends a process's lease at once."""
    yield Statement("DELETE FROM processes WHERE process_id = $1", (process_id,))


def forget_dead_processes(lease_ms: int) -> Script[None]:
    """Removes leases that ended long ago."""
    yield Statement("DELETE FROM processes WHERE expires_at < {now} - $1", (100 * lease_ms,))
