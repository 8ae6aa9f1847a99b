"""Queries of the leases of serving processes, by the database's clock."""

from __future__ import annotations

from sqlalchemy import BigInteger, bindparam, delete, select

from app.db.expressions import NOW, insert_into
from app.db.models import ProcessRow
from app.db.transaction import Transaction, execute, fetch_value

LEASE_MS = 15_000
"""Milliseconds for which a heartbeat holds a process's lease."""

BY_ID = ProcessRow.process_id == bindparam("process_id")
LEASE = bindparam("lease_ms", type_=BigInteger)
HOLDS = select(ProcessRow.process_id).where(BY_ID, ProcessRow.expires_at > NOW)
TAKE = insert_into(ProcessRow, "process_id", started_at=NOW, expires_at=NOW + LEASE)
RENEW = TAKE.on_conflict_do_update(
    index_elements=[ProcessRow.process_id], set_={ProcessRow.expires_at: TAKE.excluded.expires_at}
)
RELEASE = delete(ProcessRow).where(BY_ID)
DELETE_EXPIRED = delete(ProcessRow).where(
    ProcessRow.expires_at < NOW - bindparam("age_ms", type_=BigInteger),
    ProcessRow.process_id != bindparam("process_id"),
)
DELETE_EARLIER_BOOTS = delete(ProcessRow).where(ProcessRow.expires_at > NOW + LEASE)


def heartbeat(process_id: str, lease_ms: int) -> Transaction[bool]:
    """Create or renew the lease of a process; return whether it held one."""
    held = yield from fetch_value(HOLDS, process_id=process_id)
    yield from execute(RENEW, process_id=process_id, lease_ms=lease_ms)
    return held is not None


def release(process_id: str) -> Transaction[None]:
    """End the lease of a process at once."""
    yield from execute(RELEASE, process_id=process_id)


def check_writable(process_id: str) -> Transaction[None]:
    """Create and end a lease, so that a start fails with a clear error if its database cannot be written to."""
    yield from execute(RENEW, process_id=process_id, lease_ms=0)
    yield from execute(RELEASE, process_id=process_id)


def delete_expired(process_id: str, lease_ms: int) -> Transaction[None]:
    """Delete leases that expired long ago, except the process's own."""
    yield from execute(DELETE_EXPIRED, age_ms=100 * lease_ms, process_id=process_id)


def delete_earlier_boots(lease_ms: int) -> Transaction[None]:
    """Delete leases that end later than any new one can: on SQLite, those from before the host's last start."""
    yield from execute(DELETE_EARLIER_BOOTS, lease_ms=lease_ms)
