"""Queries of idempotency keys: a key is claimed in the transaction that creates its turn or conversation."""

from __future__ import annotations

from sqlalchemy import ScalarSelect, Select, bindparam, delete, select, update

from app.db.expressions import insert_into
from app.db.models import ConversationRow, IdempotencyKeyRow, MessageRow
from app.db.predicates import OWNER_ROW_ID, owned_by_caller, unfinished
from app.db.transaction import Transaction, execute, fetch_one
from app.domain.idempotency import RETENTION_MS, FirstResult, IdempotencyKey

CLAIM = (
    insert_into(IdempotencyKeyRow, ended_at=None)
    .on_conflict_do_nothing(index_elements=[IdempotencyKeyRow.owner_id, IdempotencyKeyRow.key])
    .returning(IdempotencyKeyRow.key)
)


def first_result_of(owner_id: ScalarSelect[str]) -> Select[str, str, str | None]:
    """Select the first result under a key of the user whose row has this id."""
    result = IdempotencyKeyRow.fingerprint, IdempotencyKeyRow.conversation_id, IdempotencyKeyRow.message_id
    return select(*result).where(IdempotencyKeyRow.key == bindparam("key"), IdempotencyKeyRow.owner_id == owner_id)


FIND_OF_USER = first_result_of(OWNER_ROW_ID)
FIND_OF_CONVERSATION = first_result_of(
    select(ConversationRow.owner_id)
    .where(ConversationRow.conversation_id == bindparam("conversation_id"), owned_by_caller(ConversationRow))
    .scalar_subquery()
)
TURN_IS_UNFINISHED = (
    select(MessageRow.message_id).where(MessageRow.message_id == IdempotencyKeyRow.message_id, unfinished()).exists()
)
SET_ENDED = (
    update(IdempotencyKeyRow)
    .where(IdempotencyKeyRow.ended_at.is_(None), ~TURN_IS_UNFINISHED)
    .values(ended_at=bindparam("now"))
)
DELETE_EXPIRED = delete(IdempotencyKeyRow).where(IdempotencyKeyRow.ended_at < bindparam("before"))


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
        row = yield from fetch_one(FIND_OF_USER, key=key, owner=owner)
    else:
        row = yield from fetch_one(FIND_OF_CONVERSATION, key=key, owner=owner, conversation_id=conversation_id)
    return None if row is None else FirstResult(row.fingerprint, row.conversation_id, row.message_id)


def expire(now: int) -> Transaction[None]:
    """Delete the keys of turns that ended a day ago.

    The end of a turn is stored here rather than when it ends, so that turns without a key do not pay for it: a key is
    kept a little longer, never shorter.
    """
    yield from execute(SET_ENDED, now=now)
    yield from execute(DELETE_EXPIRED, before=now - RETENTION_MS)
