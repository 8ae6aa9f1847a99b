from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Intervals, pauses and time limits of background work, in seconds; tests shorten them."""

    queue_poll: float = 0.5
    """Between two polls of the turns that wait to start; the turn ahead may be another process's."""
    cancellation_poll: float = 0.5
    """Between two polls for turns of this process that others have cancelled."""
    remote_reply_poll: float = 0.5
    """Between two reads of the followed replies of other processes."""
    document_poll: float = 0.5
    """Between two reads of the followed documents."""
    checkpoint: float = 1.0
    """Between two saves of the text of running replies."""
    recovery: float = 2.5
    """Between two searches for the work of dead processes, which is found well within five seconds."""
    renewal: float = 60.0
    """Between two searches for documents with another embedder's vectors or an older analysis, once there were none."""
    maintenance: float = 600.0
    """Between two rounds of what is not urgent: expired keys, vector indexes, unfinished erasures."""

    heartbeat: float = 3.0
    """Between two renewals of the process's lease: with the retries it outlasts ten seconds of trouble, wherever
    between two heartbeats these begin."""
    longest_heartbeat_backoff: float = 1.0
    """The longest pause between failed renewals of the lease."""
    ingestion_heartbeat: float = 0.5
    """Between two writes of a document's progress, which also find out that the claim on it is lost."""

    first_backoff: float = 0.5
    """The pause after the first failure of a transaction that is retried; each pause is twice the one before."""
    longest_backoff: float = 5.0
    """The longest pause between retries of a transaction."""
    embedding_backoffs: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    """The pauses between the tries of an embedder that fails."""

    longest_round: float = 30.0
    """Time limit of a poller's round of a few transactions: a connection, a statement and a commit have limits of
    their own, which add up to half of that."""
    first_poller_backoff: float = 1.0
    """The pause after the first failed round of a poller; each pause is twice the one before."""
    longest_poller_backoff: float = 60.0
    """The longest pause between failed rounds."""
    poller_restart: float = 1.0
    """Before a poller whose task has ended is restarted."""
    outage_log: float = 10.0
    """Between two log lines about an outage of the database, however many pollers miss it."""

    client_wait: float = 30.0
    """Time for which a request waits for a read or write that fails; many clients give up after a minute."""
    last_commits: float = 5.0
    """Time for the last commits of interrupted turns when the process ends."""

    @property
    def lease_grace(self) -> float:
        """Grace period of a new process, in which it treats no other as dead.

        The outage of its start may have ended leases, which are renewed as soon as it is over.
        """
        return 2 * self.longest_heartbeat_backoff
