"""Queries of accepted turns: start, history, checkpoint, cancel, settle.

Lock order: a transaction that writes messages locks the row of their conversation first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import ColumnElement, Integer, Text, bindparam, case, func, or_, select, update
from sqlalchemy.orm import aliased

from app.db import prompt_records, retrieval_records, summaries
from app.db import usage as attempts
from app.db.expressions import parameter
from app.db.messages import message_by_id
from app.db.models import ConversationRow, MessageRow
from app.db.predicates import readable, unfinished
from app.db.summaries import HISTORY_COLUMNS
from app.db.transaction import Transaction, execute, fetch_one
from app.domain.messages import Message, Status, has_text
from app.domain.retrieval import RetrievalResult
from app.domain.turn_outcome import Outcome, TurnRecord
from app.domain.turns import History, HistoryMessage, Summary

MAX_HISTORY = 1_000
"""Number of messages that a history is read from, newest first."""

BY_ID = MessageRow.message_id == bindparam("message_id")
OF_CONVERSATION = MessageRow.conversation_id == bindparam("conversation_id")
OF_PROCESS = MessageRow.process_id == bindparam("process_id")
QUEUED = MessageRow.status == Status.QUEUED
IN_PROGRESS = MessageRow.status == Status.IN_PROGRESS
Earlier = aliased(MessageRow)


def later_update() -> ColumnElement[int]:
    """Build the value of a conversation's `updated_at` at the time `now`, which never makes it earlier."""
    now = parameter(ConversationRow.updated_at, "now")
    return case((ConversationRow.updated_at < now, now), else_=ConversationRow.updated_at)


FIRST_IN_CONVERSATION = select(MessageRow.message_id).where(
    unfinished(),
    OF_PROCESS,
    ~select(Earlier.message_id)
    .where(
        Earlier.conversation_id == MessageRow.conversation_id,
        unfinished(Earlier),
        Earlier.sequence_number < MessageRow.sequence_number,
    )
    .exists(),
)
START = (
    update(MessageRow)
    .where(BY_ID, unfinished(), OF_PROCESS)
    .values(
        status=Status.IN_PROGRESS,
        started_at=func.coalesce(MessageRow.started_at, parameter(MessageRow.started_at, "now")),
    )
    .returning(MessageRow.message_id)
)
HISTORY = (
    select(*HISTORY_COLUMNS)
    .where(
        OF_CONVERSATION,
        MessageRow.sequence_number < bindparam("before"),
        MessageRow.sequence_number > bindparam("after"),
        readable(),
        or_(MessageRow.answers.is_(None), MessageRow.answers != bindparam("question_number")),
    )
    .order_by(MessageRow.sequence_number.desc())
    .limit(bindparam("limit"))
)
UNFINISHED_OF = select(MessageRow.message_id, MessageRow.cancel_requested_at).where(unfinished(), OF_PROCESS)
CHECKPOINT = (
    update(MessageRow)
    .where(BY_ID, IN_PROGRESS, OF_PROCESS)
    .values(
        content=bindparam("content"),
        context=func.coalesce(parameter(MessageRow.context), MessageRow.context),
        retrieval=func.coalesce(parameter(MessageRow.retrieval), MessageRow.retrieval),
    )
)
TOUCH = (
    update(ConversationRow)
    .where(ConversationRow.conversation_id == bindparam("conversation_id"))
    .values(updated_at=later_update())
    .returning(ConversationRow.conversation_id)
)
SETTLE = (
    update(MessageRow)
    .where(BY_ID, OF_PROCESS, unfinished())
    .values(
        status=bindparam("status"),
        content=bindparam("content"),
        finish_reason=bindparam("finish_reason"),
        input_tokens=bindparam("input_tokens"),
        output_tokens=bindparam("output_tokens"),
        usage_estimated=bindparam("usage_estimated"),
        error_code=bindparam("error_code"),
        error_detail=bindparam("error_detail"),
        completed_at=bindparam("completed_at"),
        provider=func.coalesce(parameter(MessageRow.provider), MessageRow.provider),
        model=func.coalesce(parameter(MessageRow.model), MessageRow.model),
        reasoning=bindparam("reasoning"),
        context=func.coalesce(parameter(MessageRow.context), MessageRow.context),
        citations=bindparam("citations"),
        grounded=func.coalesce(parameter(MessageRow.grounded), MessageRow.grounded),
        retrieval=func.coalesce(parameter(MessageRow.retrieval), MessageRow.retrieval),
    )
    .returning(MessageRow.answers)
)
SUPERSEDE = (
    update(MessageRow)
    .where(
        OF_CONVERSATION,
        MessageRow.sequence_number > bindparam("question_number"),
        MessageRow.sequence_number < bindparam("before"),
        MessageRow.answers == bindparam("question_number"),
        MessageRow.deleted_at.is_(None),
        MessageRow.superseded_by.is_(None),
    )
    .values(superseded_by=bindparam("reply_id"))
)
CANCEL_QUEUED = (
    update(MessageRow)
    .where(BY_ID, QUEUED)
    .values(status=Status.CANCELLED, completed_at=bindparam("now"))
    .returning(MessageRow.message_id)
)
REQUEST_CANCEL = (
    update(MessageRow)
    .where(OF_CONVERSATION, IN_PROGRESS)
    .values(
        cancel_requested_at=func.coalesce(
            MessageRow.cancel_requested_at, parameter(MessageRow.cancel_requested_at, "now")
        )
    )
    .returning(MessageRow.message_id)
)
RELEASE = update(MessageRow).where(BY_ID, OF_PROCESS, QUEUED).values(process_id=None)
PROGRESS = select(
    MessageRow.status, func.substr(MessageRow.content, bindparam("start", type_=Integer), type_=Text).label("text")
).where(BY_ID)


def first_in_conversation(process_id: str) -> Transaction[list[str]]:
    """List the unfinished replies of a process that no other unfinished reply of their conversation precedes."""
    return [row.message_id for row in (yield from execute(FIRST_IN_CONVERSATION, process_id=process_id))]


def start(process_id: str, message_id: str, now: int) -> Transaction[bool]:
    """Set a reply in progress; return False if it has ended, or is another process's."""
    return bool((yield from execute(START, message_id=message_id, process_id=process_id, now=now)))


def history(reply: Message, question_number: int) -> Transaction[History]:
    """Read the history of a reply: the latest summary, and at most the last 1,000 readable messages after it."""
    found = yield from summaries.summary_state(reply.conversation_id, before=question_number)
    if found is None:
        return (yield from history_after(reply, question_number, None, None))
    return (yield from history_after(reply, question_number, found.system_prompt, found.summary))


def history_after(
    reply: Message, question_number: int, system_prompt: str | None, summary: Summary | None
) -> Transaction[History]:
    """Read the history of a reply whose system prompt and summary are known.

    Earlier replies to the same question are left out: the new one takes their place.
    """
    covered = summary.last if summary else 0
    rows = yield from execute(
        HISTORY,
        conversation_id=reply.conversation_id,
        before=reply.sequence_number,
        after=covered,
        question_number=question_number,
        limit=MAX_HISTORY,
    )
    rows.reverse()
    found = summaries.history_messages(rows)
    return History(system_prompt, found, summary, dropped_up_to(found) if len(rows) == MAX_HISTORY else 0)


def dropped_up_to(messages: Sequence[HistoryMessage]) -> int:
    """Return the sequence number up to which turns were not read whole: a reply without its question is dropped."""
    first = messages[0]
    return first.sequence_number - 1 if first.answers is None else first.sequence_number


class Checkpoint(NamedTuple):
    """The text of a running reply to save."""

    message_id: str
    text: str
    record: TurnRecord | None
    """None if it is saved already."""


def checkpoint(process_id: str, replies: Sequence[Checkpoint]) -> Transaction[None]:
    """Save the text so far of running replies of a process."""
    for message_id, text, record in replies:
        yield from execute(
            CHECKPOINT,
            message_id=message_id,
            process_id=process_id,
            content=text,
            context=record and prompt_records.record_to_store(record),
            retrieval=record and record.retrieval,
        )


def unfinished_of(process_id: str) -> Transaction[dict[str, bool]]:
    """Return the unfinished replies of a process, by id; True for those whose cancellation is requested."""
    rows = yield from execute(UNFINISHED_OF, process_id=process_id)
    return {row.message_id: row.cancel_requested_at is not None for row in rows}


class FollowedReply(NamedTuple):
    """The part of a reply that its readers have received."""

    message_id: str
    length: int
    """In characters."""
    awaits_retrieval: bool
    """True to read its retrieval result too."""


class ReplyProgress(NamedTuple):
    """The part of a reply that its readers have not received."""

    text: str
    message: Message | None
    """The whole reply, if it has ended."""
    retrieval: RetrievalResult | None = None


def progress(followed: Sequence[FollowedReply]) -> Transaction[dict[str, ReplyProgress]]:
    """Read the progress of replies, by id; deleted ones are left out."""
    found: dict[str, ReplyProgress] = {}
    for message_id, length, awaits_retrieval in followed:
        row = yield from fetch_one(PROGRESS, message_id=message_id, start=length + 1)
        if row is None:
            continue
        retrieval = (yield from retrieval_records.retrieval_of(message_id)) if awaits_retrieval else None
        if not Status(row.status).terminal:
            found[message_id] = ReplyProgress(row.text, None, retrieval)
        elif (message := (yield from message_by_id(message_id))) is not None:
            found[message_id] = ReplyProgress(message.content[length:], message, retrieval)
    return found


def cancel(reply: Message, now: int) -> Transaction[None]:
    """Cancel a queued turn, or request the end of a running one; the conversation has to be locked."""
    yield from execute(TOUCH, conversation_id=reply.conversation_id, now=now)
    # Its status may have been read before it started: try both, in this order.
    if not (yield from execute(CANCEL_QUEUED, message_id=reply.message_id, now=now)):
        yield from execute(REQUEST_CANCEL, conversation_id=reply.conversation_id, now=now)


def release(process_id: str, message_id: str) -> Transaction[None]:
    """Release a queued turn, for any process to adopt."""
    yield from execute(RELEASE, message_id=message_id, process_id=process_id)


def lock_and_touch(conversation_id: str, now: int) -> Transaction[bool]:
    """Lock a conversation and set the time of its update; return False if it was deleted."""
    return bool((yield from execute(TOUCH, conversation_id=conversation_id, now=now, locks=conversation_id)))


def settle(process_id: str, owner_id: str, reply: Message, outcome: Outcome, now: int) -> Transaction[Message | None]:
    """Store the outcome of a turn and its usage, and return the reply as it is stored then; None if it was deleted.

    Nothing but the usage of a deleted reply is written if the turn is no longer this process's.
    """
    record = outcome.record
    if not (yield from lock_and_touch(reply.conversation_id, now)):
        yield from attempts.record(owner_id, reply.conversation_id, reply.message_id, record.attempts)
        return None
    usage, error = outcome.usage, outcome.error
    row = yield from fetch_one(
        SETTLE,
        message_id=reply.message_id,
        process_id=process_id,
        status=outcome.status,
        content=outcome.text,
        finish_reason=outcome.finish_reason,
        input_tokens=usage and usage.input_tokens,
        output_tokens=usage and usage.output_tokens,
        usage_estimated=usage and usage.estimated,
        error_code=error and error.code,
        error_detail=error and error.detail,
        completed_at=now,
        provider=record.provider,
        model=record.model,
        reasoning=record.reasoning,
        context=prompt_records.record_to_store(record),
        citations=outcome.citations or None,
        grounded=None if reply.grounded is None else bool(outcome.citations),
        retrieval=record.retrieval,
    )
    if row is not None:
        yield from attempts.record(owner_id, reply.conversation_id, reply.message_id, record.attempts)
        yield from supersede(reply, row.answers, outcome.text)
        return settled(reply, outcome, now)
    return (yield from message_by_id(reply.message_id))


def supersede(reply: Message, question_number: int, text: str) -> Transaction[None]:
    """Mark the earlier replies to a question as superseded by one that has ended with text.

    A reply without text supersedes none. The conversation has to be locked.
    """
    if reply.sequence_number == question_number + 1 or not has_text(text):
        return
    yield from execute(
        SUPERSEDE,
        conversation_id=reply.conversation_id,
        question_number=question_number,
        before=reply.sequence_number,
        reply_id=reply.message_id,
    )
    yield from summaries.delete_summaries(reply.conversation_id, question_number)


def settled(reply: Message, outcome: Outcome, now: int) -> Message:
    """Return a reply with its outcome."""
    return replace(
        reply,
        status=outcome.status,
        content=outcome.text,
        finish_reason=outcome.finish_reason,
        usage=outcome.usage,
        error=outcome.error,
        completed_at=now,
        citations=outcome.citations,
        grounded=None if reply.grounded is None else bool(outcome.citations),
        provider=outcome.record.provider or reply.provider,
        model=outcome.record.model or reply.model,
    )
