"""Accepting a turn, as scripts: numbers, the key, whoever is in the way, then the messages.

Lock order: the conversation's row comes first, wherever messages of it are written as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from app.db import idempotency, messages, usage
from app.db.messages import OWNED
from app.db.retrieval_records import lookup_of
from app.db.transaction import Statement, Transaction, first_row
from app.db.turns import REQUEST_CANCEL, history, history_after
from app.domain.conversations import Mode
from app.domain.idempotency import IdempotencyKey
from app.domain.ids import new_id
from app.domain.messages import Message, ResolvedModel, Role, Sampling, Status
from app.domain.quota import quota_exceeded
from app.domain.retrieval import RetrievalMode
from app.domain.turns import MAX_UNFINISHED, AcceptedTurn, NewReply, NewTurn, OnBusy
from app.errors import (
    CannotRegenerate,
    ConversationBusy,
    ConversationNotFound,
    InvalidRequest,
    MessageNotFound,
    QueueFull,
    TurnUnfinished,
)

NUMBER = f"""
UPDATE conversations SET last_sequence = last_sequence + $5, message_count = message_count + $5,
updated_at = CASE WHEN updated_at < $3 THEN $3 ELSE updated_at END,
title_source = CASE WHEN title IS NULL AND CAST($4 AS TEXT) IS NOT NULL THEN 'message' ELSE title_source END,
title = COALESCE(title, $4)
WHERE conversation_id = $1 AND {OWNED}
RETURNING last_sequence, title, system_prompt, provider, model, temperature, max_tokens, mode,
CAST(document_ids AS TEXT), owner_id,
EXISTS (SELECT 1 FROM summaries s WHERE s.conversation_id = conversations.conversation_id)"""
UNFINISHED = """
SELECT message_id FROM messages WHERE conversation_id = $1 AND status IN ('queued', 'in_progress')
ORDER BY sequence_number"""
CANCEL_WAITING = """
UPDATE messages SET status = 'cancelled', completed_at = $2
WHERE conversation_id = $1 AND status IN ('queued', 'in_progress') AND status = 'queued'
RETURNING message_id, process_id"""
INTO = """
INSERT INTO messages (message_id, conversation_id, sequence_number, role, content, status, answers, process_id,
provider, model, temperature, max_tokens, mode, document_ids, retrieval_mode, grounded, created_at, started_at,
completed_at) VALUES"""
REPLY = "($1, $2, $3, 'assistant', '', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, NULL)"
QUESTION = """
($17, $2, $5, 'user', $18, 'completed', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, $15, NULL, $15)"""
INSERT_REPLY = f"{INTO} {REPLY}"
INSERT_TURN = f"{INTO} {QUESTION}, {REPLY}"
OWNER_OF_CONVERSATION = f"SELECT owner_id FROM conversations WHERE conversation_id = $1 AND {OWNED}"
OWNER_OF_USER = "SELECT id FROM users WHERE user_id = $1"


@dataclass(frozen=True, slots=True)
class Reservation:
    """What every turn needs to be accepted."""

    conversation_id: str
    owner: str | None
    """The user's id, or None for whoever the conversation belongs to."""
    process_id: str
    """The process that will run the turn."""
    resolve: Callable[[Sampling], ResolvedModel]
    """Resolves the turn's model, given the conversation's sampling."""
    place: Callable[[str, str, bool, int], bool]
    """Given a provider, the user's row, whether the turn is first in line, and how many of the user's that wait at this
    process are stopped for it: whether it starts at once. Raises RateLimited or Overloaded."""
    fit: Callable[[ResolvedModel, str, str | None, str], None]
    """Given sampling, mode, system prompt and message: raises MessageTooLong when they do not fit the model."""
    daily_tokens: int | None
    """What a user may spend in a day."""
    key: IdempotencyKey | None
    retrieval: RetrievalMode
    """Whether documents are searched, where the conversation is one with documents."""
    now: int
    """Milliseconds since the epoch."""


class LockedConversation(NamedTuple):
    """A conversation that has been locked, and given out its next sequence numbers."""

    last_sequence: int
    title: str | None
    system_prompt: str | None
    sampling: Sampling
    mode: str
    document_ids: Any
    owner_id: str
    summarised: bool


class QueuePosition(NamedTuple):
    """The way to a turn's start: whether it is clear, and which replies are stopped for it."""

    clear: bool
    interrupts: Sequence[str] = ()
    frees: int = 0
    """Number of those that wait at the process that will run the turn."""


def reserve(wanted: Reservation, turn: NewTurn, title: str | None) -> Transaction[AcceptedTurn]:
    """Stores a question and an empty reply under the conversation's next two sequence numbers.

    Args:
        wanted: What every turn needs.
        turn: What is asked.
        title: For a conversation that has none.

    Raises:
        ConversationNotFound: the owner has no such conversation.
        KeyTaken: somebody was first to use the key.
        MessageTooLong: the model takes less than that.
        QuotaExceeded: the user has spent the tokens of the day.
        ConversationBusy: a turn is unfinished, and this one is not to wait.
        QueueFull: too many of its turns are unfinished.
        RateLimited, Overloaded: the turn would have to wait, and there is no place to.
        AppError: what `settle` raises.
    """
    numbered = yield from allocate_sequence_numbers(wanted, 2, title)
    reply_id = new_id()
    yield from claim(wanted, numbered, reply_id)
    question = new_question(wanted, numbered.last_sequence - 1, turn.message)
    accepted = yield from admit(wanted, numbered, question, reply_id, turn.on_busy)
    values = reply_values(accepted, wanted.process_id, numbered)
    yield Statement(INSERT_TURN, (*values, question.message_id, question.content))
    return (yield from with_history(accepted, numbered))


def reserve_another(wanted: Reservation, new: NewReply) -> Transaction[AcceptedTurn]:
    """Stores an empty reply, under the next sequence number, to the question of the conversation's last one.

    The last one stays current until the new one has ended with text (`turns.supersede`).

    Raises:
        ConversationNotFound, MessageNotFound: the owner has no such conversation, or it no such message.
        KeyTaken: somebody was first to use the key.
        TurnUnfinished, CannotRegenerate: the reply is still being made, or is not the last one.
        AppError: what `reserve` raises.
    """
    numbered = yield from allocate_sequence_numbers(wanted, 1, None)
    reply_id = new_id()
    yield from claim(wanted, numbered, reply_id)
    question = yield from regenerable_question(wanted, new.message_id)
    accepted = yield from admit(wanted, numbered, question, reply_id, new.on_busy)
    yield Statement(INSERT_REPLY, reply_values(accepted, wanted.process_id, numbered))
    return (yield from with_history(accepted, numbered))


def admit(
    wanted: Reservation, numbered: LockedConversation, question: Message, reply_id: str, on_busy: OnBusy
) -> Transaction[AcceptedTurn]:
    """Check all that may refuse a turn, deal with those before it and take its place; raises what `reserve` does."""
    resolved = wanted.resolve(numbered.sampling)
    wanted.fit(resolved, numbered.mode, numbered.system_prompt, question.content)
    yield from check_quota(wanted, numbered)
    passage = yield from resolve_conflict(wanted, on_busy)
    starts = wanted.place(resolved.provider, numbered.owner_id, passage.clear, passage.frees)
    return AcceptedTurn(
        title=numbered.title,
        question=question,
        reply=new_reply(wanted, reply_id, numbered, resolved, starts, question.sequence_number),
        resolved=resolved,
        owner_id=numbered.owner_id,
        interrupts=passage.interrupts,
        lookup=lookup_of(numbered.mode, numbered.document_ids, wanted.retrieval),
    )


def allocate_sequence_numbers(wanted: Reservation, count: int, title: str | None) -> Transaction[LockedConversation]:
    """Locks a conversation and takes its next sequence numbers; this has to be a transaction's first statement.

    Raises:
        ConversationNotFound: the owner has no such conversation.
    """
    values = (wanted.conversation_id, wanted.owner, wanted.now, title, count)
    row = yield from first_row(Statement(NUMBER, values, locks=wanted.conversation_id))
    if row is None:
        raise ConversationNotFound
    last_sequence, named, system_prompt, *own, mode, document_ids, owner_id, summarised = row
    sampling = Sampling(*own)
    return LockedConversation(
        last_sequence, named, system_prompt, sampling, mode, document_ids, str(owner_id), bool(summarised)
    )


def claim(wanted: Reservation, numbered: LockedConversation, reply_id: str) -> Transaction[None]:
    """Takes the request's key, if it has one; before all that may refuse it, since a retry is to find its first."""
    if wanted.key is not None:
        yield from idempotency.claim(numbered.owner_id, wanted.key, wanted.conversation_id, reply_id, wanted.now)


def check_quota(wanted: Reservation, numbered: LockedConversation) -> Transaction[None]:
    """Lets nobody begin a turn who has spent the tokens of the day.

    Raises:
        QuotaExceeded: they are spent.
    """
    if wanted.daily_tokens is None:
        return
    if (yield from usage.spent(numbered.owner_id, wanted.now)) >= wanted.daily_tokens:
        raise quota_exceeded(wanted.now)


def resolve_conflict(wanted: Reservation, on_busy: OnBusy) -> Transaction[QueuePosition]:
    """Deals with the unfinished turns of the conversation as is wanted.

    Raises:
        ConversationBusy: there are some, and the turn is not to wait.
        QueueFull: there are too many.
    """
    if not (yield from is_busy(wanted.conversation_id, on_busy)):
        return QueuePosition(clear=True)
    if on_busy is OnBusy.INTERRUPT:
        return (yield from interrupt_running(wanted))
    return QueuePosition(clear=False)


def is_busy(conversation_id: str, on_busy: OnBusy) -> Transaction[bool]:
    """Return whether a turn of the conversation is unfinished.

    Raises:
        ConversationBusy: one is, and the new one is not to wait.
        QueueFull: so many are that the new one cannot wait.
    """
    unfinished = [str(row[0]) for row in (yield Statement(UNFINISHED, (conversation_id,)))]
    if unfinished and on_busy is OnBusy.REJECT:
        raise ConversationBusy(members={"message_id": unfinished[0]})
    if len(unfinished) >= MAX_UNFINISHED and on_busy is OnBusy.QUEUE:
        raise QueueFull
    return bool(unfinished)


def owner_without_room(owner: str | None, conversation_id: str | None, on_busy: OnBusy) -> Transaction[str | None]:
    """Read whose turn the process has no room for: the user's row, None for a new user.

    A conversation's own reasons to refuse the turn come first, as where there is room.

    Raises:
        ConversationNotFound: the owner has no such conversation.
        ConversationBusy, QueueFull: what `is_busy` raises.
    """
    if conversation_id is None:
        row = yield from first_row(Statement(OWNER_OF_USER, (owner,)))
        return None if row is None else str(row[0])
    row = yield from first_row(Statement(OWNER_OF_CONVERSATION, (conversation_id, owner)))
    if row is None:
        raise ConversationNotFound
    yield from is_busy(conversation_id, on_busy)
    return str(row[0])


def interrupt_running(wanted: Reservation) -> Transaction[QueuePosition]:
    """Cancels the waiting turns, and asks for the end of the one at work."""
    # In this order: a turn that starts between the two statements is met by the second.
    waiting = yield Statement(CANCEL_WAITING, (wanted.conversation_id, wanted.now))
    at_work = yield Statement(REQUEST_CANCEL, (wanted.conversation_id, wanted.now))
    frees = sum(str(process_id) == wanted.process_id for _, process_id in waiting)
    return QueuePosition(not at_work, [str(row[0]) for row in (*waiting, *at_work)], frees)


def regenerable_question(wanted: Reservation, message_id: str) -> Transaction[Message]:
    """The question of a reply that may be regenerated."""
    reply = yield from messages.owned_message(wanted.owner, wanted.conversation_id, message_id)
    if reply is None:
        raise MessageNotFound
    if reply.answers is None:
        raise InvalidRequest("Only a reply can be regenerated.")
    if not reply.status.terminal:
        raise TurnUnfinished
    last = yield from messages.is_last_reply(reply)
    question = yield from messages.message_by_number(wanted.conversation_id, reply.answers)
    if not last or question is None:
        raise CannotRegenerate
    return question


def with_history(accepted: AcceptedTurn, numbered: LockedConversation) -> Transaction[AcceptedTurn]:
    """A turn that starts at once with what it starts from: to read it here saves a transaction."""
    if accepted.reply.status is not Status.IN_PROGRESS:
        return accepted
    number = accepted.question.sequence_number
    if numbered.summarised:
        return replace(accepted, history=(yield from history(accepted.reply, number)))
    return replace(accepted, history=(yield from history_after(accepted.reply, number, numbered.system_prompt, None)))


def new_question(wanted: Reservation, sequence_number: int, content: str) -> Message:
    """The user's message of a turn."""
    return Message(
        message_id=new_id(),
        conversation_id=wanted.conversation_id,
        role=Role.USER,
        content=content,
        sequence_number=sequence_number,
        status=Status.COMPLETED,
        created_at=wanted.now,
        completed_at=wanted.now,
    )


def new_reply(
    wanted: Reservation,
    reply_id: str,
    numbered: LockedConversation,
    resolved: ResolvedModel,
    starts: bool,
    answers: int,
) -> Message:
    """The assistant's message of a turn, still empty."""
    return Message(
        message_id=reply_id,
        conversation_id=wanted.conversation_id,
        role=Role.ASSISTANT,
        content="",
        sequence_number=numbered.last_sequence,
        status=Status.IN_PROGRESS if starts else Status.QUEUED,
        created_at=wanted.now,
        provider=resolved.provider,
        model=resolved.model,
        grounded=False if numbered.mode == Mode.RAG else None,  # until there are citations
        answers=answers,
    )


def reply_values(accepted: AcceptedTurn, process_id: str, numbered: LockedConversation) -> tuple[Any, ...]:
    """What is stored of a reply, in the order of `REPLY`."""
    reply, resolved = accepted.reply, accepted.resolved
    return (
        reply.message_id,
        reply.conversation_id,
        reply.sequence_number,
        reply.status,
        reply.answers,
        process_id,
        resolved.provider,
        resolved.model,
        resolved.temperature,
        resolved.max_tokens,
        numbered.mode,
        numbered.document_ids,
        accepted.lookup and accepted.lookup.mode,
        reply.grounded,
        reply.created_at,
        reply.created_at if reply.status is Status.IN_PROGRESS else None,
    )
