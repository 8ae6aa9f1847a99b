"""Idempotency keys, as scripts: a key is claimed in the transaction that makes what it stands for."""

from __future__ import annotations

from app.db.messages import OWNED
from app.db.transaction import Statement, Transaction, first_row
from app.domain.idempotency import RETENTION_MS, FirstResult, IdempotencyKey

CLAIM = """
INSERT INTO idempotency_keys (owner_id, key, fingerprint, conversation_id, message_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (owner_id, key) DO NOTHING RETURNING 1"""
FIND = "SELECT k.fingerprint, k.conversation_id, k.message_id FROM idempotency_keys k WHERE k.key = $1 AND k.owner_id"
OF_USER = f"{FIND} = (SELECT id FROM users WHERE user_id = $2)"
OF_CONVERSATION = f"{FIND} = (SELECT owner_id FROM conversations WHERE conversation_id = $3 AND {OWNED})"
END = """
UPDATE idempotency_keys SET ended_at = $1 WHERE ended_at IS NULL AND NOT EXISTS (
SELECT 1 FROM messages m WHERE m.message_id = idempotency_keys.message_id AND m.status IN ('queued', 'in_progress'))"""
FORGET = "DELETE FROM idempotency_keys WHERE ended_at < $1"


class KeyTaken(Exception):
    """Somebody was first to use the key; nothing of this transaction may stay."""


def claim(
    owner_id: str, key: IdempotencyKey, conversation_id: str, message_id: str | None, now: int
) -> Transaction[None]:
    """Takes a key for what this transaction makes.

    Raises:
        KeyTaken: there is a request under that key already.
    """
    values = (owner_id, key.key, key.fingerprint, conversation_id, message_id, now)
    if not (yield Statement(CLAIM, values)):
        raise KeyTaken


def find(owner: str | None, conversation_id: str | None, key: str) -> Transaction[FirstResult | None]:
    """What was made under a key of a user, or of the user whose conversation it is."""
    if conversation_id is None:
        row = yield from first_row(Statement(OF_USER, (key, owner)))
    else:
        row = yield from first_row(Statement(OF_CONVERSATION, (key, owner, conversation_id)))
    return None if row is None else FirstResult(row[0], str(row[1]), row[2] and str(row[2]))


def forget(now: int) -> Transaction[None]:
    """Lets keys go whose turns ended long enough ago.

    A turn's end is noted here and not where it ends, so that turns without a key pay nothing for it: a key is
    kept a little longer for that, never shorter.
    """
    yield Statement(END, (now,))
    yield Statement(FORGET, (now - RETENTION_MS,))
