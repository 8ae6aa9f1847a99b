"""Queries of accepted turns: start, history, checkpoint, cancel, settle, and the recovery of stalled turns.

Lock order: a transaction that writes messages locks the row of their conversation first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

import orjson

from app.db import prompt_records, retrieval_records, summaries
from app.db import usage as attempts
from app.db.messages import COLUMNS, message_by_id, message_of
from app.db.process_leases import stalled
from app.db.transaction import Statement, Transaction, first_row
from app.domain.citations import citations_in
from app.domain.ids import new_id
from app.domain.messages import Message, ResolvedModel, Status, Usage, has_text
from app.domain.retrieval import RetrievalRequest, RetrievalResult
from app.domain.token_estimate import estimated_tokens
from app.domain.turn_outcome import Outcome, TurnRecord
from app.domain.turns import History, HistoryMessage, Summary
from app.domain.usage import INTERRUPTED, Attempt

MAX_HISTORY = 1_000
"""Number of messages that a history is read from, newest first."""

FIRST_IN_CONVERSATION = """
SELECT m.message_id FROM messages m
WHERE m.status IN ('queued', 'in_progress') AND m.process_id = $1 AND NOT EXISTS (
SELECT 1 FROM messages e WHERE e.conversation_id = m.conversation_id AND e.status IN ('queued', 'in_progress')
AND e.sequence_number < m.sequence_number)"""
START = """
UPDATE messages SET status = 'in_progress', started_at = COALESCE(started_at, $3)
WHERE message_id = $1 AND status IN ('queued', 'in_progress') AND process_id = $2 RETURNING 1"""
HISTORY = """
SELECT sequence_number, content, answers, grounded IS NOT NULL FROM messages
WHERE conversation_id = $1 AND sequence_number < $2 AND sequence_number > $4 AND content <> ''
AND deleted_at IS NULL AND superseded_by IS NULL AND (answers IS NULL OR answers <> $5)
ORDER BY sequence_number DESC LIMIT $3"""
UNFINISHED_OF = """
SELECT message_id, cancel_requested_at FROM messages WHERE status IN ('queued', 'in_progress') AND process_id = $1"""
CHECKPOINT = """
UPDATE messages SET content = $3, context = COALESCE($4, context), retrieval = COALESCE($5, retrieval)
WHERE message_id = $1 AND status = 'in_progress' AND process_id = $2 RETURNING 1"""
TOUCH = """
UPDATE conversations SET updated_at = CASE WHEN updated_at < $2 THEN $2 ELSE updated_at END
WHERE conversation_id = $1 RETURNING 1"""
SETTLE = """
UPDATE messages SET status = $3, content = $4, finish_reason = $5, input_tokens = $6, output_tokens = $7,
usage_estimated = $8, error_code = $9, error_detail = $10, completed_at = $11, provider = COALESCE($12, provider),
model = COALESCE($13, model), reasoning = $14, context = COALESCE($15, context), citations = $16,
grounded = COALESCE($17, grounded), retrieval = COALESCE($18, retrieval)
WHERE message_id = $1 AND process_id = $2 AND status IN ('queued', 'in_progress') RETURNING answers"""
SUPERSEDE = """
UPDATE messages SET superseded_by = $4
WHERE conversation_id = $1 AND sequence_number > $2 AND sequence_number < $3 AND answers = $2
AND deleted_at IS NULL AND superseded_by IS NULL"""
CANCEL_QUEUED = """
UPDATE messages SET status = 'cancelled', completed_at = $2 WHERE message_id = $1 AND status = 'queued' RETURNING 1"""
REQUEST_CANCEL = """
UPDATE messages SET cancel_requested_at = COALESCE(cancel_requested_at, $2)
WHERE conversation_id = $1 AND status = 'in_progress' RETURNING message_id"""
RELEASE = """
UPDATE messages SET process_id = NULL WHERE message_id = $1 AND process_id = $2 AND status = 'queued'"""
PROGRESS = "SELECT status, substr(content, $2) FROM messages WHERE message_id = $1"
STALLED = f"""
SELECT {COLUMNS} FROM messages m WHERE m.status IN ('queued', 'in_progress') AND {stalled("m", "$1")}
ORDER BY m.status, m.message_id LIMIT $2"""
INTERRUPT = f"""
UPDATE messages AS m SET completed_at = $2,
status = CASE WHEN m.cancel_requested_at IS NULL THEN 'interrupted' ELSE 'cancelled' END
WHERE m.message_id = $1 AND m.status = 'in_progress' AND {stalled("m", "$3")} RETURNING answers, content"""
ADOPT = f"""
UPDATE messages AS m SET process_id = $2
WHERE m.message_id = $1 AND m.status = 'queued' AND (m.process_id = $2 OR ({stalled("m", "$2")}))
RETURNING provider, model, temperature, max_tokens, mode, CAST(document_ids AS TEXT), retrieval_mode, answers"""
OWNER = "SELECT owner_id FROM conversations WHERE conversation_id = $1"
STALLED_TURN = """
SELECT c.owner_id, m.content, CAST(m.context AS TEXT), m.started_at, COALESCE((SELECT q.content
FROM messages q WHERE q.conversation_id = m.conversation_id AND q.sequence_number = m.answers), ''),
CAST(m.retrieval AS TEXT)
FROM messages m JOIN conversations c ON c.conversation_id = m.conversation_id WHERE m.message_id = $1"""
SET_USAGE = """
UPDATE messages SET input_tokens = $2, output_tokens = $3, usage_estimated = $4, provider = $5, model = $6
WHERE message_id = $1"""


def first_in_conversation(process_id: str) -> Transaction[list[str]]:
    """List the unfinished replies of a process that no other unfinished reply of their conversation precedes."""
    return [str(row[0]) for row in (yield Statement(FIRST_IN_CONVERSATION, (process_id,)))]


def start(process_id: str, message_id: str, now: int) -> Transaction[bool]:
    """Set a reply in progress; return False if it has ended, or is another process's."""
    return bool((yield Statement(START, (message_id, process_id, now))))


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
    values = (reply.conversation_id, reply.sequence_number, MAX_HISTORY, covered, question_number)
    rows = yield Statement(HISTORY, values)
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
        values = (
            record and prompt_records.dump_record(record),
            record and retrieval_records.dump_retrieval(record.retrieval),
        )
        yield Statement(CHECKPOINT, (message_id, process_id, text, *values))


def unfinished_of(process_id: str) -> Transaction[dict[str, bool]]:
    """Return the unfinished replies of a process, by id; True for those whose cancellation is requested."""
    rows = yield Statement(UNFINISHED_OF, (process_id,))
    return {str(message_id): requested_at is not None for message_id, requested_at in rows}


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
        row = yield from first_row(Statement(PROGRESS, (message_id, length + 1)))
        if row is None:
            continue
        retrieval = (yield from retrieval_records.retrieval_of(message_id)) if awaits_retrieval else None
        if not Status(row[0]).terminal:
            found[message_id] = ReplyProgress(row[1], None, retrieval)
        elif (message := (yield from message_by_id(message_id))) is not None:
            found[message_id] = ReplyProgress(message.content[length:], message, retrieval)
    return found


def cancel(reply: Message, now: int) -> Transaction[None]:
    """Cancel a queued turn, or request the end of a running one; the conversation has to be locked."""
    yield Statement(TOUCH, (reply.conversation_id, now))
    # Its status may have been read before it started: try both, in this order.
    if not (yield Statement(CANCEL_QUEUED, (reply.message_id, now))):
        yield Statement(REQUEST_CANCEL, (reply.conversation_id, now))


def release(process_id: str, message_id: str) -> Transaction[None]:
    """Release a queued turn, for any process to adopt."""
    yield Statement(RELEASE, (message_id, process_id))


def settle(process_id: str, owner_id: str, reply: Message, outcome: Outcome, now: int) -> Transaction[Message | None]:
    """Store the outcome of a turn and its usage, and return the reply as it is stored then; None if it was deleted.

    Nothing but the usage of a deleted reply is written if the turn is no longer this process's.
    """
    record = outcome.record
    if not (yield Statement(TOUCH, (reply.conversation_id, now), locks=reply.conversation_id)):
        yield from attempts.record(owner_id, reply.conversation_id, reply.message_id, record.attempts)
        return None
    usage, error = outcome.usage, outcome.error
    values = (
        reply.message_id,
        process_id,
        outcome.status,
        outcome.text,
        outcome.finish_reason,
        usage and usage.input_tokens,
        usage and usage.output_tokens,
        usage and usage.estimated,
        error and error.code,
        error and error.detail,
        now,
        record.provider,
        record.model,
        record.reasoning,
        prompt_records.dump_record(record),
        orjson.dumps(outcome.citations).decode() if outcome.citations else None,
        None if reply.grounded is None else bool(outcome.citations),
        retrieval_records.dump_retrieval(record.retrieval),
    )
    row = yield from first_row(Statement(SETTLE, values))
    if row is not None:
        yield from attempts.record(owner_id, reply.conversation_id, reply.message_id, record.attempts)
        yield from supersede(reply, row[0], outcome.text)
        return settled(reply, outcome, now)
    return (yield from message_by_id(reply.message_id))


def supersede(reply: Message, question_number: int, text: str) -> Transaction[None]:
    """Mark the earlier replies to a question as superseded by one that has ended with text.

    A reply without text supersedes none. The conversation has to be locked.
    """
    if reply.sequence_number == question_number + 1 or not has_text(text):
        return
    yield Statement(SUPERSEDE, (reply.conversation_id, question_number, reply.sequence_number, reply.message_id))
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
        citations=[asdict(each) for each in outcome.citations],
        grounded=None if reply.grounded is None else bool(outcome.citations),
        provider=outcome.record.provider or reply.provider,
        model=outcome.record.model or reply.model,
    )


def stalled_turns(process_id: str, limit: int) -> Transaction[list[Message]]:
    """List unfinished replies whose process has lost its lease, as process `process_id` sees it, the running first."""
    rows = yield Statement(STALLED, (process_id, limit))
    return [message_of(row) for row in rows]


def mark_interrupted(process_id: str, reply: Message, now: int) -> Transaction[bool]:
    """Interrupt a stalled turn at its last checkpoint and record its usage; False if another process was first."""
    interrupted = yield from mark_interrupted_without_usage(process_id, reply, now)
    if interrupted:
        yield from record_stalled_usage(reply, now)
    return interrupted


def mark_interrupted_without_usage(process_id: str, reply: Message, now: int) -> Transaction[bool]:
    """Interrupt a stalled turn whose record cannot be read; False if another process was first."""
    if not (yield Statement(TOUCH, (reply.conversation_id, now), locks=reply.conversation_id)):
        return False
    row = yield from first_row(Statement(INTERRUPT, (reply.message_id, now, process_id)))
    if row is None:
        return False
    yield from supersede(reply, *row)
    return True


def record_stalled_usage(reply: Message, now: int) -> Transaction[None]:
    """Record the estimated usage of a stalled turn, from its last checkpoint, or else from its question."""
    row = yield from first_row(Statement(STALLED_TURN, (reply.message_id,)))
    assert row is not None, "its conversation is locked"  # noqa: S101  for the types
    owner_id, text, record_json, started_at, question, retrieval_json = row
    if (retrieval := retrieval_records.parse_retrieval(retrieval_json)) is not None:
        yield from retrieval_records.set_citations(reply.message_id, citations_in(text, retrieval.candidates))
    record = prompt_records.parse_record(record_json) or TurnRecord(reply.provider, reply.model)
    sent = record.prompt.tokens if record.prompt else estimated_tokens(question)
    usage = Usage(sent, estimated_tokens(text), estimated=True)
    attempt = Attempt(
        attempt_id=new_id(),
        provider=str(record.provider),
        model=str(record.model),
        outcome=INTERRUPTED,
        status_code=None,
        first_token_ms=None,
        total_ms=max(0, now - started_at),  # the clock may have been set back
        usage=usage,
        started_at=started_at,
    )
    spent = usage.input_tokens, usage.output_tokens, usage.estimated
    yield Statement(SET_USAGE, (reply.message_id, *spent, attempt.provider, attempt.model))
    yield from attempts.record(str(owner_id), reply.conversation_id, reply.message_id, [attempt])


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
    row = yield from first_row(Statement(ADOPT, (reply.message_id, process_id)))
    if row is None:
        return None
    [[owner_id]] = yield Statement(OWNER, (reply.conversation_id,))
    return Adopted(row[7], ResolvedModel(*row[:4]), str(owner_id), retrieval_records.parse_retrieval_request(*row[4:7]))
