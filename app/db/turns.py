"""What happens to a turn once it is accepted, as scripts: start, checkpoint, cancel, settle; and to a dead process's.

Lock order: the conversation's row comes first, wherever messages of it are written as well.
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
from app.domain.retrieval import Lookup, RetrievalResult
from app.domain.token_estimate import estimated_tokens
from app.domain.turn_outcome import Outcome, TurnRecord
from app.domain.turns import History, HistoryMessage, Summary
from app.domain.usage import INTERRUPTED, Attempt

MAX_HISTORY = 1_000
"""Messages that are looked at for a model's context, newest first."""

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
MINE = """
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
ABANDONED = f"""
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
LEFT_BEHIND = """
SELECT c.owner_id, m.content, CAST(m.context AS TEXT), m.started_at, COALESCE((SELECT q.content
FROM messages q WHERE q.conversation_id = m.conversation_id AND q.sequence_number = m.answers), ''),
CAST(m.retrieval AS TEXT)
FROM messages m JOIN conversations c ON c.conversation_id = m.conversation_id WHERE m.message_id = $1"""
ESTIMATE = """
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
    return History(system_prompt, found, summary, unread(found) if len(rows) == MAX_HISTORY else 0)


def unread(messages: Sequence[HistoryMessage]) -> int:
    """The sequence number up to which turns were not read whole: a reply whose question was not is among them."""
    first = messages[0]
    return first.sequence_number - 1 if first.answers is None else first.sequence_number


class Checkpoint(NamedTuple):
    """A reply so far."""

    message_id: str
    text: str
    record: TurnRecord | None
    """What was told for it; None where that is saved already."""


def checkpoint(process_id: str, replies: Sequence[Checkpoint]) -> Transaction[None]:
    """Saves many replies so far."""
    for message_id, text, record in replies:
        values = (
            record and prompt_records.dump_record(record),
            record and retrieval_records.dump_retrieval(record.retrieval),
        )
        yield Statement(CHECKPOINT, (message_id, process_id, text, *values))


def running_of(process_id: str) -> Transaction[dict[str, bool]]:
    """The replies that a process has yet to end, by id: whether somebody wants each stopped."""
    rows = yield Statement(MINE, (process_id,))
    return {str(message_id): requested_at is not None for message_id, requested_at in rows}


class Watched(NamedTuple):
    """A reply that is followed."""

    message_id: str
    length: int
    """The characters that are known."""
    awaits_retrieval: bool
    """Whether it is not known yet what was looked up for it."""


class Progress(NamedTuple):
    """What has become of a reply."""

    text: str
    """More of it."""
    message: Message | None
    """Once it has ended."""
    retrieval: RetrievalResult | None = None


def progress(watched: Sequence[Watched]) -> Transaction[dict[str, Progress]]:
    """What has become of replies; those that are gone are left out."""
    found: dict[str, Progress] = {}
    for message_id, length, awaits_retrieval in watched:
        row = yield from first_row(Statement(PROGRESS, (message_id, length + 1)))
        if row is None:
            continue
        retrieval = (yield from retrieval_records.retrieval_of(message_id)) if awaits_retrieval else None
        if not Status(row[0]).terminal:
            found[message_id] = Progress(row[1], None, retrieval)
        elif (message := (yield from message_by_id(message_id))) is not None:
            found[message_id] = Progress(message.content[length:], message, retrieval)
    return found


def cancel(reply: Message, now: int) -> Transaction[None]:
    """Ends a turn that waits, and asks for the end of one at work; the conversation has to be locked."""
    yield Statement(TOUCH, (reply.conversation_id, now))
    # Its status may have been read before it started: ask for both, in this order.
    if not (yield Statement(CANCEL_QUEUED, (reply.message_id, now))):
        yield Statement(REQUEST_CANCEL, (reply.conversation_id, now))


def release(process_id: str, message_id: str) -> Transaction[None]:
    """Gives a waiting turn back, for any process to adopt."""
    yield Statement(RELEASE, (message_id, process_id))


def settle(process_id: str, owner_id: str, reply: Message, outcome: Outcome, now: int) -> Transaction[Message | None]:
    """Ends a turn, enters what it took, and gives the reply as it is stored then.

    Where it is not this process's any more, nothing is written; None where it is gone.
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
        return ended(reply, outcome, now)
    return (yield from message_by_id(reply.message_id))


def supersede(reply: Message, question_number: int, text: str) -> Transaction[None]:
    """Put a reply that has ended with text in the place of the earlier ones to its question.

    One that has ended without leaves them current. The conversation has to be locked.
    """
    if reply.sequence_number == question_number + 1 or not has_text(text):
        return
    yield Statement(SUPERSEDE, (reply.conversation_id, question_number, reply.sequence_number, reply.message_id))
    yield from summaries.delete_summaries(reply.conversation_id, question_number)


def ended(reply: Message, outcome: Outcome, now: int) -> Message:
    """A reply as its outcome leaves it."""
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
    """List unfinished replies whose process has lost its lease, as another process sees it, those in progress first."""
    rows = yield Statement(ABANDONED, (process_id, limit))
    return [message_of(row) for row in rows]


def mark_interrupted(process_id: str, reply: Message, now: int) -> Transaction[bool]:
    """End a dead process's turn with its last checkpoint, by another process; False when somebody else was first."""
    interrupted = yield from interrupt_unrecorded(process_id, reply, now)
    if interrupted:
        yield from record_stalled_usage(reply, now)
    return interrupted


def interrupt_unrecorded(process_id: str, reply: Message, now: int) -> Transaction[bool]:
    """As `interrupt`, without an entry of what the turn has cost: its row may hold what cannot be read here."""
    if not (yield Statement(TOUCH, (reply.conversation_id, now), locks=reply.conversation_id)):
        return False
    row = yield from first_row(Statement(INTERRUPT, (reply.message_id, now, process_id)))
    if row is None:
        return False
    yield from supersede(reply, *row)
    return True


def record_stalled_usage(reply: Message, now: int) -> Transaction[None]:
    """Enters what a dead process had done for a reply, as far as its last checkpoint tells; at least the question."""
    row = yield from first_row(Statement(LEFT_BEHIND, (reply.message_id,)))
    assert row is not None, "its conversation is locked"  # noqa: S101  for the types
    owner_id, text, context, started_at, question, looked_up = row
    if (retrieval := retrieval_records.parse_retrieval(looked_up)) is not None:
        yield from retrieval_records.set_citations(reply.message_id, citations_in(text, retrieval.candidates))
    work = prompt_records.parse_record(context) or TurnRecord(reply.provider, reply.model)
    sent = work.context.tokens if work.context else estimated_tokens(question)
    usage = Usage(sent, estimated_tokens(text), estimated=True)
    attempt = Attempt(
        attempt_id=new_id(),
        provider=str(work.provider),
        model=str(work.model),
        outcome=INTERRUPTED,
        status_code=None,
        first_token_ms=None,
        total_ms=max(0, now - started_at),  # the clock may have been set back
        usage=usage,
        started_at=started_at,
    )
    spent = usage.input_tokens, usage.output_tokens, usage.estimated
    yield Statement(ESTIMATE, (reply.message_id, *spent, attempt.provider, attempt.model))
    yield from attempts.record(str(owner_id), reply.conversation_id, reply.message_id, [attempt])


class Adopted(NamedTuple):
    """A queued turn that was adopted."""

    question_number: int
    resolved: ResolvedModel
    owner_id: str
    lookup: Lookup | None


def adopt(process_id: str, reply: Message) -> Transaction[Adopted | None]:
    """Adopt the queued turn of a dead process; None if another process was first.

    A turn that was adopted before is adopted again: the acknowledgement of the first time may have been lost.
    """
    row = yield from first_row(Statement(ADOPT, (reply.message_id, process_id)))
    if row is None:
        return None
    [[owner_id]] = yield Statement(OWNER, (reply.conversation_id,))
    return Adopted(row[7], ResolvedModel(*row[:4]), str(owner_id), retrieval_records.parse_lookup(*row[4:7]))
