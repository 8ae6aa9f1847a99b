"""Queries of idempotency keys: a key is claimed in the transaction that creates its turn or conversation."""

from __future__ import annotations

from app.db.expressions import insert_into
from app.db.messages import OWNED
from app.db.models import IdempotencyKeyRow
from app.db.transaction import Statement, Transaction, execute, first_row
from app.domain.idempotency import RETENTION_MS, FirstResult, IdempotencyKey

CLAIM = (
    insert_into(IdempotencyKeyRow, ended_at=None)
    .on_conflict_do_nothing(index_elements=[IdempotencyKeyRow.owner_id, IdempotencyKeyRow.key])
    .returning(IdempotencyKeyRow.key)
)
FIND = "SELECT k.fingerprint, k.conversation_id, k.message_id FROM idempotency_keys k WHERE k.key = $1 AND k.owner_id"
FIND_OF_USER = f"{FIND} = (SELECT id FROM users WHERE user_id = $2)"
FIND_OF_CONVERSATION = f"{FIND} = (SELECT owner_id FROM conversations WHERE conversation_id = $3 AND {OWNED})"
SET_ENDED = """
UPDATE idempotency_keys SET ended_at = $1 WHERE ended_at IS NULL AND NOT EXISTS (
SELECT 1 FROM messages m WHERE m.message_id = idempotency_keys.message_id AND m.status IN ('queued', 'in_progress'))"""
DELETE_EXPIRED = "DELETE FROM idempotency_keys WHERE ended_at < $1"


class KeyTaken(Exception):
    """Another request has used the key; the transaction is rolled back."""


def claim(
    owner_id: str, key: IdempotencyKey, conversation_id: str, message_id: str | None, now: int
) -> Transaction[None]:
    """Claim a key for the conversation, and the reply if there is one, that this transaction creates.

    Raises:
        KeyTaken: the key belongs to an earlier request.
    """
    claimed = yield from execute(
        CLAIM,
        owner_id=owner_id,
        key=key.key,
        fingerprint=key.fingerprint,
        conversation_id=conversation_id,
        message_id=message_id,
        created_at=now,
    )
    if not claimed:
        raise KeyTaken


def find(owner: str | None, conversation_id: str | None, key: str) -> Transaction[FirstResult | None]:
    """Return the result of the first request under a key of the user, or else of the conversation's user, if any."""
    if conversation_id is None:
        row = yield from first_row(Statement(FIND_OF_USER, (key, owner)))
    else:
        row = yield from first_row(Statement(FIND_OF_CONVERSATION, (key, owner, conversation_id)))
    return None if row is None else FirstResult(row[0], str(row[1]), row[2] and str(row[2]))


def expire(now: int) -> Transaction[None]:
    """Delete the keys of turns that ended a day ago.

    The end of a turn is stored here rather than when it ends, so that turns without a key do not pay for it: a key is
    kept a little longer, never shorter.
    """
    yield Statement(SET_ENDED, (now,))
    yield Statement(DELETE_EXPIRED, (now - RETENTION_MS,))
