"""A turn's transactions, as scripts: reserve, start, checkpoint, settle.

Lock order: the conversation's row comes first, wherever messages of it are written as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from app.db.messages import COLUMNS, OWNED, message_of
from app.db.script import Script, Statement, one
from app.domain.conversations import Mode
from app.domain.ids import new_id
from app.domain.messages import Message, Role, Sampling, Status
from app.domain.turns import MAX_UNFINISHED, AcceptedTurn, History, HistoryMessage, Outcome
from app.errors import ConversationNotFound, QueueFull

MAX_HISTORY = 1_000
"""Messages that are looked at for a model's context, newest first."""

NUMBER = f"""
UPDATE conversations SET last_sequence = last_sequence + 2, message_count = message_count + 2,
updated_at = CASE WHEN updated_at < $3 THEN $3 ELSE updated_at END,
title_source = CASE WHEN title IS NULL AND CAST($4 AS TEXT) IS NOT NULL THEN 'message' ELSE title_source END,
title = COALESCE(title, $4)
WHERE conversation_id = $1 AND {OWNED}
RETURNING last_sequence, title, system_prompt, provider, model, temperature, max_tokens, mode,
CAST(document_ids AS TEXT)"""
UNFINISHED = """
SELECT COUNT(*) FROM messages WHERE conversation_id = $1 AND status IN ('queued', 'in_progress')"""
INSERT = """
INSERT INTO messages (message_id, conversation_id, sequence_number, role, content, status, answers, process_id,
provider, model, temperature, max_tokens, mode, document_ids, grounded, created_at, started_at, completed_at)
VALUES ($1, $2, $3, 'user', $4, 'completed', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, $5, NULL, $5),
($6, $2, $7, 'assistant', '', $8, $3, $9, $10, $11, $12, $13, $14, $15, $17, $5, $16, NULL)"""
FIRST_IN_LINE = """
SELECT m.message_id FROM messages m
WHERE m.status IN ('queued', 'in_progress') AND m.status = 'queued' AND m.process_id = $1 AND NOT EXISTS (
SELECT 1 FROM messages e WHERE e.conversation_id = m.conversation_id AND e.status IN ('queued', 'in_progress')
AND e.sequence_number < m.sequence_number)"""
START = """
UPDATE messages SET status = 'in_progress', started_at = $3
WHERE message_id = $1 AND status = 'queued' AND process_id = $2 RETURNING message_id"""
SYSTEM_PROMPT = "SELECT system_prompt FROM conversations WHERE conversation_id = $1"
HISTORY = """
SELECT sequence_number, content, answers FROM messages
WHERE conversation_id = $1 AND sequence_number < $2 AND deleted_at IS NULL AND superseded_by IS NULL
ORDER BY sequence_number DESC LIMIT $3"""
MINE = """
SELECT message_id FROM messages WHERE status IN ('queued', 'in_progress') AND process_id = $1"""
CHECKPOINT = """
UPDATE messages SET content = $3
WHERE message_id = $1 AND status = 'in_progress' AND process_id = $2 RETURNING 1"""
TOUCH = """
UPDATE conversations SET updated_at = CASE WHEN updated_at < $2 THEN $2 ELSE updated_at END
WHERE conversation_id = $1 RETURNING 1"""
SETTLE = """
UPDATE messages SET status = $3, content = $4, finish_reason = $5, input_tokens = $6, output_tokens = $7,
usage_estimated = $8, error_code = $9, error_detail = $10, completed_at = $11
WHERE message_id = $1 AND process_id = $2 AND status IN ('queued', 'in_progress') RETURNING 1"""
DEAD_OWNER = """
m.status IN ('queued', 'in_progress') AND NOT EXISTS (
SELECT 1 FROM processes p WHERE p.process_id = m.process_id AND p.expires_at > {now})"""
ABANDONED = f"SELECT {COLUMNS} FROM messages m WHERE {DEAD_OWNER} ORDER BY m.message_id LIMIT $1"
INTERRUPT = f"""
UPDATE messages AS m SET completed_at = $2,
status = CASE WHEN m.cancel_requested_at IS NULL THEN 'interrupted' ELSE 'cancelled' END
WHERE m.message_id = $1 AND m.status = 'in_progress' AND {DEAD_OWNER} RETURNING 1"""
ADOPT = f"""
UPDATE messages AS m SET process_id = $2
WHERE m.message_id = $1 AND m.status = 'queued' AND {DEAD_OWNER} RETURNING temperature, max_tokens"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is needed to accept a turn."""

    conversation_id: str
    owner: str | None
    """The user's id, or None for whoever the conversation belongs to."""
    message: str
    title: str | None
    """For a conversation that has none."""
    process_id: str
    """The process that will run the turn."""
    settle: Callable[[Sampling], Sampling]
    """Gives the turn's sampling, from the conversation's own."""
    may_start: Callable[[str], bool]
    """Whether the process has room to run a turn of that provider at once."""
    now: int
    """Milliseconds since the epoch."""


def reserve(wanted: Reservation) -> Script[AcceptedTurn]:
    """Stores a question and an empty reply under the conversation's next two sequence numbers.

    Raises:
        ConversationNotFound: the owner has no such conversation.
        QueueFull: too many of its turns are unfinished.
        AppError: what `settle` raises.
    """
    values = (wanted.conversation_id, wanted.owner, wanted.now, wanted.title)
    row = yield from one(Statement(NUMBER, values))
    if row is None:
        raise ConversationNotFound
    last_sequence, title, system_prompt, *own, mode, document_ids = row
    sampling = wanted.settle(Sampling(*own))
    unfinished = (yield Statement(UNFINISHED, (wanted.conversation_id,)))[0][0]
    if unfinished >= MAX_UNFINISHED:
        raise QueueFull
    starts = unfinished == 0 and wanted.may_start(str(sampling.provider))
    question = new_question(wanted, last_sequence - 1)
    grounded = False if mode == Mode.RAG else None  # until there are citations
    reply = new_reply(wanted, last_sequence, sampling, starts, grounded)
    accepted = AcceptedTurn(title, question, reply, sampling)
    yield insertion(accepted, wanted.process_id, mode, document_ids)
    # A turn that starts at once reads what it starts from here, and saves a transaction.
    return replace(accepted, history=(yield from history_of(reply, system_prompt))) if starts else accepted


def new_question(wanted: Reservation, sequence_number: int) -> Message:
    """The user's message of a turn."""
    return Message(
        message_id=new_id(),
        conversation_id=wanted.conversation_id,
        role=Role.USER,
        content=wanted.message,
        sequence_number=sequence_number,
        status=Status.COMPLETED,
        created_at=wanted.now,
        completed_at=wanted.now,
    )


def new_reply(
    wanted: Reservation, sequence_number: int, sampling: Sampling, starts: bool, grounded: bool | None
) -> Message:
    """The assistant's message of a turn, still empty."""
    return Message(
        message_id=new_id(),
        conversation_id=wanted.conversation_id,
        role=Role.ASSISTANT,
        content="",
        sequence_number=sequence_number,
        status=Status.IN_PROGRESS if starts else Status.QUEUED,
        created_at=wanted.now,
        provider=sampling.provider,
        model=sampling.model,
        grounded=grounded,
    )


def insertion(accepted: AcceptedTurn, process_id: str, mode: str, document_ids: Any) -> Statement:
    """The statement that stores both messages of a turn."""
    question, reply, sampling = accepted.question, accepted.reply, accepted.sampling
    values = (
        question.message_id,
        question.conversation_id,
        question.sequence_number,
        question.content,
        question.created_at,
        reply.message_id,
        reply.sequence_number,
        reply.status,
        process_id,
        sampling.provider,
        sampling.model,
        sampling.temperature,
        sampling.max_tokens,
        mode,
        document_ids,
        reply.created_at if reply.status is Status.IN_PROGRESS else None,
        reply.grounded,
    )
    return Statement(INSERT, values)


def start(process_id: str, choose: Callable[[Sequence[str]], Iterable[str]], now: int) -> Script[list[str]]:
    """Starts turns of this process that are first in line: those that `choose` picks. Gives their ids."""
    rows = yield Statement(FIRST_IN_LINE, (process_id,))
    started: list[str] = []
    for message_id in choose([str(row[0]) for row in rows]):
        rows = yield Statement(START, (message_id, process_id, now))
        started += [message_id] if rows else []
    return started


def history(reply: Message) -> Script[History]:
    """What the model may be told for a reply: at most the last 1,000 readable messages before it."""
    row = yield from one(Statement(SYSTEM_PROMPT, (reply.conversation_id,)))
    return (yield from history_of(reply, row[0] if row else None))


def history_of(reply: Message, system_prompt: str | None) -> Script[History]:
    """As `history`, where the system prompt is known."""
    rows = yield Statement(HISTORY, (reply.conversation_id, reply.sequence_number, MAX_HISTORY))
    rows.reverse()
    return History(system_prompt, cast("list[HistoryMessage]", rows))


def checkpoint(process_id: str, texts: Sequence[tuple[str, str]]) -> Script[None]:
    """Saves the texts so far of many replies, given by id."""
    for message_id, text in texts:
        yield Statement(CHECKPOINT, (message_id, process_id, text))


def unfinished(process_id: str) -> Script[set[str]]:
    """The ids of the replies that a process has yet to end."""
    return {str(row[0]) for row in (yield Statement(MINE, (process_id,)))}


def settle(process_id: str, reply: Message, outcome: Outcome, now: int) -> Script[bool]:
    """Ends a turn. False, and nothing written, when it is not this process's any more or gone."""
    if not (yield Statement(TOUCH, (reply.conversation_id, now))):
        return False
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
    )
    return bool((yield Statement(SETTLE, values)))


def abandoned(limit: int) -> Script[list[Message]]:
    """Unfinished replies whose process has lost its lease."""
    rows = yield Statement(ABANDONED, (limit,))
    return [message_of(row) for row in rows]


def interrupt(reply: Message, now: int) -> Script[bool]:
    """Ends a dead process's turn with its last checkpoint; False when somebody else was first."""
    if not (yield Statement(TOUCH, (reply.conversation_id, now))):
        return False
    return bool((yield Statement(INTERRUPT, (reply.message_id, now))))


def adopt(process_id: str, reply: Message) -> Script[Sampling | None]:
    """Takes over a dead process's waiting turn; gives its sampling, or None when somebody else was first."""
    row = yield from one(Statement(ADOPT, (reply.message_id, process_id)))
    if row is None:
        return None
    return Sampling(reply.provider, reply.model, row[0], row[1])
