"""Queries that recover stalled turns, whose process has lost its lease: running ones are interrupted, queued adopted.

Lock order: as in `app.db.turns`.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, case, func, or_, select, update
from sqlalchemy.orm import aliased

from app.db import prompt_records, retrieval_records
from app.db import usage as attempts
from app.db.messages import COLUMNS, message_of
from app.db.models import ConversationRow, MessageRow
from app.db.predicates import stalled, unfinished
from app.db.transaction import Transaction, execute, fetch_one, fetch_value
from app.db.turns import BY_ID, IN_PROGRESS, QUEUED, lock_and_touch, supersede
from app.domain.citations import citations_in
from app.domain.ids import new_id
from app.domain.messages import Message, ResolvedModel, Status, Usage
from app.domain.retrieval import RetrievalRequest
from app.domain.token_estimate import estimated_tokens
from app.domain.turn_outcome import TurnRecord
from app.domain.usage import INTERRUPTED, Attempt

Question = aliased(MessageRow)
STALLED = (
    select(*COLUMNS)
    .where(unfinished(), stalled(MessageRow))
    .order_by(MessageRow.status, MessageRow.message_id)
    .limit(bindparam("limit"))
)
INTERRUPT = (
    update(MessageRow)
    .where(BY_ID, IN_PROGRESS, stalled(MessageRow))
    .values(
        completed_at=bindparam("now"),
        status=case((MessageRow.cancel_requested_at.is_(None), Status.INTERRUPTED.value), else_=Status.CANCELLED.value),
    )
    .returning(MessageRow.answers, MessageRow.content)
)
ADOPT = (
    update(MessageRow)
    .where(BY_ID, QUEUED, or_(MessageRow.process_id == bindparam("observer"), stalled(MessageRow)))
    .values(process_id=bindparam("observer"))
    .returning(
        MessageRow.provider,
        MessageRow.model,
        MessageRow.temperature,
        MessageRow.max_tokens,
        MessageRow.mode,
        MessageRow.document_ids,
        MessageRow.retrieval_mode,
        MessageRow.answers,
    )
)
OWNER = select(ConversationRow.owner_id).where(ConversationRow.conversation_id == bindparam("conversation_id"))
QUESTION_TEXT = (
    select(Question.content)
    .where(Question.conversation_id == MessageRow.conversation_id, Question.sequence_number == MessageRow.answers)
    .scalar_subquery()
)
STALLED_TURN = (
    select(
        ConversationRow.owner_id,
        MessageRow.content,
        MessageRow.context,
        MessageRow.started_at,
        func.coalesce(QUESTION_TEXT, "").label("question"),
        MessageRow.retrieval,
    )
    .join(ConversationRow, ConversationRow.conversation_id == MessageRow.conversation_id)
    .where(BY_ID)
)
SET_USAGE = (
    update(MessageRow)
    .where(BY_ID)
    .values(
        input_tokens=bindparam("input_tokens"),
        output_tokens=bindparam("output_tokens"),
        usage_estimated=bindparam("usage_estimated"),
        provider=bindparam("provider"),
        model=bindparam("model"),
    )
)


def stalled_turns(process_id: str, limit: int) -> Transaction[list[Message]]:
    """List unfinished replies whose process has lost its lease, as process `process_id` sees it, the running first."""
    return [message_of(row) for row in (yield from execute(STALLED, observer=process_id, limit=limit))]


def mark_interrupted(process_id: str, reply: Message, now: int) -> Transaction[bool]:
    """Interrupt a stalled turn at its last checkpoint and record its usage; False if another process was first."""
    interrupted = yield from mark_interrupted_without_usage(process_id, reply, now)
    if interrupted:
        yield from record_stalled_usage(reply, now)
    return interrupted


def mark_interrupted_without_usage(process_id: str, reply: Message, now: int) -> Transaction[bool]:
    """Interrupt a stalled turn whose record cannot be read; False if another process was first."""
    if not (yield from lock_and_touch(reply.conversation_id, now)):
        return False
    row = yield from fetch_one(INTERRUPT, message_id=reply.message_id, now=now, observer=process_id)
    if row is None:
        return False
    yield from supersede(reply, row.answers, row.content)
    return True


def record_stalled_usage(reply: Message, now: int) -> Transaction[None]:
    """Record the estimated usage of a stalled turn, from its last checkpoint, or else from its question."""
    row = yield from fetch_one(STALLED_TURN, message_id=reply.message_id)
    assert row is not None, "its conversation is locked"  # noqa: S101  for the types
    if (retrieval := retrieval_records.parse_retrieval(row.retrieval)) is not None:
        yield from retrieval_records.set_citations(reply.message_id, citations_in(row.content, retrieval.candidates))
    record = prompt_records.parse_record(row.context) or TurnRecord(reply.provider, reply.model)
    sent = record.prompt.tokens if record.prompt else estimated_tokens(row.question)
    usage = Usage(sent, estimated_tokens(row.content), estimated=True)
    attempt = Attempt(
        attempt_id=new_id(),
        provider=str(record.provider),
        model=str(record.model),
        outcome=INTERRUPTED,
        status_code=None,
        first_token_ms=None,
        total_ms=max(0, now - row.started_at),  # the clock may have been set back
        usage=usage,
        started_at=row.started_at,
    )
    yield from execute(
        SET_USAGE,
        message_id=reply.message_id,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        usage_estimated=usage.estimated,
        provider=attempt.provider,
        model=attempt.model,
    )
    yield from attempts.record(row.owner_id, reply.conversation_id, reply.message_id, [attempt])


class Adopted(NamedTuple):
    """A queued turn that was adopted."""

    question_number: int
    resolved: ResolvedModel
    owner_id: str
    retrieval_request: RetrievalRequest | None


def adopt(process_id: str, reply: Message) -> Transaction[Adopted | None]:
    """Adopt the queued turn of a dead process; None if another process was first.

    A turn that was adopted before is adopted again: the acknowledgement of the first time may have been lost.
    """
    row = yield from fetch_one(ADOPT, message_id=reply.message_id, observer=process_id)
    if row is None:
        return None
    owner_id = yield from fetch_value(OWNER, conversation_id=reply.conversation_id)
    assert owner_id is not None, "its message refers to it"  # noqa: S101  for the types
    resolved = ResolvedModel(row.provider, row.model, row.temperature, row.max_tokens)
    request = retrieval_records.parse_retrieval_request(row.mode, row.document_ids, row.retrieval_mode)
    return Adopted(row.answers, resolved, owner_id, request)
