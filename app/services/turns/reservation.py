"""The acceptance of a turn, from the lock of its conversation to the insert of its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, assert_never

from app.db import conversations, idempotency, messages, reservations, turns, users
from app.db.reservations import LockedConversation
from app.db.retrieval_records import parse_retrieval_request
from app.db.transaction import Transaction
from app.domain.conversations import Mode, NewConversation
from app.domain.grounded_prompt import with_instruction
from app.domain.ids import new_id, now_ms
from app.domain.messages import Message, ResolvedModel, Role, Status
from app.domain.prompt import check_fixed_tokens
from app.domain.titles import title_from
from app.domain.turns import MAX_UNFINISHED, AcceptedTurn, History, NewReply, NewTurn, OnBusy
from app.errors import (
    CannotRegenerate,
    ConversationBusy,
    ConversationNotFound,
    InvalidRequest,
    MessageNotFound,
    QueueFull,
    TurnUnfinished,
)
from app.llm.base import Target
from app.llm.router import Router
from app.services.replies.stream import ReplyStream
from app.services.turns.capacity import CapacityReservation
from app.services.turns.quota import TokenQuota


class ConversationToCreate(NamedTuple):
    """A conversation that is created with its first turn."""

    user_id: str
    new: NewConversation


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A request for a turn of a conversation, or of a new one."""

    owner: str | None
    """The user's id; None for the user that the conversation belongs to."""
    conversation: str | ConversationToCreate
    """The id of the conversation, or the new one."""
    turn: NewTurn | NewReply

    @property
    def conversation_id(self) -> str | None:
        """None for a new conversation."""
        return self.conversation if isinstance(self.conversation, str) else None


class Turn(NamedTuple):
    """A turn for its caller: accepted now, or read by its reply."""

    title: str | None
    """Of its conversation."""
    question: Message | None
    """None if it was deleted since, or if `reply` is a user's message."""
    reply: Message
    """As it was at the acceptance or the read."""
    stream: ReplyStream
    replayed: bool = False
    """True if it was accepted before, under the same idempotency key."""


class PendingTurn:
    """A request for a turn until it is accepted or refused."""

    def __init__(self, request: TurnRequest, reservation: CapacityReservation) -> None:
        self.request = request
        self.reservation = reservation
        """The capacity to run the turn in this process."""
        self.accepted: AcceptedTurn | None = None
        """The turn as the transaction's last run has stored it, perhaps without a commit."""
        self.answer: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()

    def accept(self, turn: Turn) -> None:
        if not self.answer.done():
            self.answer.set_result(turn)

    def refuse(self, error: Exception) -> None:
        """Release the capacity and raise an error to the caller; nothing was stored."""
        self.reservation.release()
        self.fail(error)

    def fail(self, error: Exception) -> None:
        """Raise an error to the caller, whatever becomes of the turn."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # marks it as retrieved: the caller may be gone


class QueuePosition(NamedTuple):
    """The position of a new turn among the unfinished ones of its conversation."""

    first: bool
    """True if no other turn has to end before."""
    interrupts: Sequence[str] = ()
    """The ids of the replies that are cancelled for it."""
    freed: int = 0
    """The number of places that these have in the queue of this process."""


class TurnReservations:
    """The transactions that accept turns."""

    def __init__(self, router: Router, quota: TokenQuota, process_id: str) -> None:
        self._router = router
        self._quota = quota
        self._process_id = process_id

    def reserve(self, pending: PendingTurn) -> Transaction[AcceptedTurn]:
        """Store a turn, with the capacity to run it in this process; read its history if it starts at once.

        May run again after a failure: the capacity is taken once.

        Raises:
            ConversationNotFound, MessageNotFound: the owner has none such.
            KeyTaken: another request has used the key.
            InvalidRequest, TurnUnfinished, CannotRegenerate: the reply is not one to regenerate.
            UnknownModel: the provider or model does not exist.
            MessageTooLong: the message does not fit the model.
            QuotaExceeded: the user's tokens of the day are spent.
            ConversationBusy: another turn is unfinished, and this one must not wait.
            QueueFull: too many turns of the conversation are unfinished.
            RateLimited, Overloaded: the turn would have to wait, and the queue has no place.
        """
        request, turn, now = pending.request, pending.request.turn, now_ms()
        conversation_id = yield from ensure_conversation(request, now)
        conversation = yield from lock_conversation(request, conversation_id, now)
        reply_id = new_id()
        if turn.key is not None:  # before every check, so that a retry finds its first request
            yield from idempotency.claim(conversation.owner_id, turn.key, conversation_id, reply_id, now)
        if isinstance(turn, NewTurn):
            question = new_question(conversation_id, conversation.last_sequence - 1, turn.message, now)
        else:
            question = yield from regenerable_question(request.owner, conversation_id, turn.message_id)
        resolved = self._router.catalog.resolve(turn.sampling, conversation.sampling)
        self._check_size(conversation, resolved, question.content)
        yield from self._quota.check(conversation.owner_id, now)
        position = yield from self._resolve_conflict(conversation_id, turn.on_busy, now)
        starts = pending.reservation.assign(
            resolved.provider, conversation.owner_id, first=position.first, freed=position.freed
        )
        accepted = AcceptedTurn(
            title=conversation.title,
            question=question,
            reply=new_reply(reply_id, question, conversation, resolved, starts=starts, now=now),
            resolved=resolved,
            owner_id=conversation.owner_id,
            retrieval_request=parse_retrieval_request(conversation.mode, conversation.document_ids, turn.retrieval),
            interrupts=position.interrupts,
        )
        insert = reservations.insert_turn if isinstance(turn, NewTurn) else reservations.insert_reply
        yield from insert(accepted, conversation, self._process_id)
        if starts:  # reading it here saves a transaction
            accepted = replace(accepted, history=(yield from history_of(accepted, conversation)))
        pending.accepted = accepted
        return accepted

    def _check_size(self, conversation: LockedConversation, resolved: ResolvedModel, question: str) -> None:
        """Raise MessageTooLong if the system prompt and the question do not fit the model."""
        system_prompt = conversation.system_prompt
        if conversation.mode == Mode.RAG:
            system_prompt = with_instruction(system_prompt)
        window = self._router.window(Target(resolved.provider, resolved.model), resolved.max_tokens)
        check_fixed_tokens(system_prompt, question, window)

    def _resolve_conflict(self, conversation_id: str, on_busy: OnBusy, now: int) -> Transaction[QueuePosition]:
        """Queue behind the unfinished turns of a conversation, or interrupt them; raises what `check_busy` does."""
        if not (yield from check_busy(conversation_id, on_busy)):
            return QueuePosition(first=True)
        if on_busy is not OnBusy.INTERRUPT:
            return QueuePosition(first=False)
        # In this order: a turn that starts between the two statements is met by the second.
        queued = yield from reservations.cancel_queued(conversation_id, now)
        running = yield from reservations.request_cancellation(conversation_id, now)
        freed = sum(reply.process_id == self._process_id for reply in queued)
        return QueuePosition(not running, [*(reply.message_id for reply in queued), *running], freed)


def ensure_conversation(request: TurnRequest, now: int) -> Transaction[str]:
    """Return the id of a request's conversation; create it if new, and its user with it."""
    if isinstance(request.conversation, str):
        return request.conversation
    user_id, new = request.conversation
    conversation_id = new_id()
    owner_id, _created = yield from users.ensure(user_id, new_id(), now)
    yield from conversations.insert(conversation_id, owner_id, new, now)
    return conversation_id


def lock_conversation(request: TurnRequest, conversation_id: str, now: int) -> Transaction[LockedConversation]:
    """Lock a conversation and allocate the sequence numbers of a turn's messages.

    Raises:
        ConversationNotFound: the owner has no such conversation.
    """
    turn = request.turn
    count, title = (2, title_from(turn.message)) if isinstance(turn, NewTurn) else (1, None)
    locked = yield from reservations.allocate_sequence_numbers(request.owner, conversation_id, count, title, now)
    if locked is None:
        raise ConversationNotFound
    return locked


def regenerable_question(owner: str | None, conversation_id: str, message_id: str) -> Transaction[Message]:
    """Read the question of a reply that may be regenerated.

    Raises:
        MessageNotFound: the owner has no such message.
        InvalidRequest: it is not a reply.
        TurnUnfinished: the reply is not finished.
        CannotRegenerate: it is not the last one, or its question is deleted.
    """
    reply = yield from messages.owned_message(owner, conversation_id, message_id)
    if reply is None:
        raise MessageNotFound
    if reply.answers is None:
        raise InvalidRequest("Only a reply can be regenerated; name the reply to this message.")
    if not reply.status.terminal:
        raise TurnUnfinished
    last = yield from messages.is_last_reply(reply)
    question = yield from messages.message_by_number(conversation_id, reply.answers)
    if not last or question is None:
        raise CannotRegenerate
    return question


def check_busy(conversation_id: str, on_busy: OnBusy) -> Transaction[bool]:
    """Return whether a turn of the conversation is unfinished.

    Raises:
        ConversationBusy: one is, and the new one must not wait.
        QueueFull: so many are that the new one cannot wait.
    """
    unfinished = yield from reservations.unfinished_replies(conversation_id)
    match on_busy:
        case OnBusy.REJECT:
            if unfinished:
                raise ConversationBusy(members={"message_id": unfinished[0]})
        case OnBusy.QUEUE:
            if len(unfinished) >= MAX_UNFINISHED:
                raise QueueFull
        case OnBusy.INTERRUPT:
            pass
        case _:
            assert_never(on_busy)
    return bool(unfinished)


def owner_of(request: TurnRequest) -> Transaction[str | None]:
    """Return the id of the user's row of a request that the process has no room for; None for a new user.

    The conversation's own reasons to refuse the turn come first, as in `reserve`.

    Raises:
        ConversationNotFound: the owner has no such conversation.
        ConversationBusy, QueueFull: what `check_busy` raises.
    """
    if request.conversation_id is None:
        return (yield from users.row_id_of(request.owner))
    owner_id = yield from reservations.owner_of_conversation(request.owner, request.conversation_id)
    if owner_id is None:
        raise ConversationNotFound
    yield from check_busy(request.conversation_id, request.turn.on_busy)
    return owner_id


def history_of(turn: AcceptedTurn, conversation: LockedConversation) -> Transaction[History]:
    """Read the history of a turn that starts at once."""
    number = turn.question.sequence_number
    if conversation.summarised:
        return (yield from turns.history(turn.reply, number))
    return (yield from turns.history_after(turn.reply, number, conversation.system_prompt, None))


def new_question(conversation_id: str, sequence_number: int, content: str, now: int) -> Message:
    return Message(
        message_id=new_id(),
        conversation_id=conversation_id,
        role=Role.USER,
        content=content,
        sequence_number=sequence_number,
        status=Status.COMPLETED,
        created_at=now,
        completed_at=now,
    )


def new_reply(
    reply_id: str,
    question: Message,
    conversation: LockedConversation,
    resolved: ResolvedModel,
    *,
    starts: bool,
    now: int,
) -> Message:
    """Build the empty reply to a question."""
    return Message(
        message_id=reply_id,
        conversation_id=question.conversation_id,
        role=Role.ASSISTANT,
        content="",
        sequence_number=conversation.last_sequence,
        status=Status.IN_PROGRESS if starts else Status.QUEUED,
        created_at=now,
        provider=resolved.provider,
        model=resolved.model,
        grounded=False if conversation.mode == Mode.RAG else None,  # until it has citations
        answers=question.sequence_number,
    )
