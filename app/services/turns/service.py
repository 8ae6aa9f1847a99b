from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from app.db import conversations, idempotency, messages, reservations, retrieval_records, turns, users
from app.db.database import Database
from app.db.idempotency import KeyTaken
from app.db.reservations import Reservation
from app.db.transaction import Transaction
from app.domain.conversations import Mode, NewConversation
from app.domain.grounded_prompt import instructed
from app.domain.ids import new_id, now_ms
from app.domain.messages import Message, ResolvedModel
from app.domain.principals import Principal
from app.domain.prompt import fixed_tokens
from app.domain.retrieval import RetrievalResult
from app.domain.titles import title_from
from app.domain.turns import AcceptedTurn, NewReply, NewTurn
from app.errors import (
    AlreadyFinished,
    ConversationNotFound,
    DatabaseUnavailable,
    Draining,
    IdempotencyKeyReused,
    Overloaded,
)
from app.llm.base import Target
from app.llm.router import Router
from app.services.messages import require_message
from app.services.replies.stream import ReplyStream
from app.services.replies.turn_run import TurnRun
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.timings import Timings
from app.services.turns.capacity import CapacityReservation
from app.services.turns.client_wait import while_clients_wait
from app.services.turns.executor import TurnExecutor
from app.services.turns.remote_replies import RemoteReplies

T = TypeVar("T")


class Turn(NamedTuple):
    """A turn for a caller: accepted now, or read by its reply."""

    title: str | None
    """Of its conversation."""
    question: Message | None
    """None if it was deleted since, or if `reply` is a user's message."""
    reply: Message
    """As it is stored at the acceptance or the read."""
    stream: ReplyStream
    replayed: bool = False
    """Whether it was accepted before, under the same idempotency key."""


class PendingTurn:
    """A turn that somebody asks for: what was reserved for it, and the answer that is waited for."""

    def __init__(self, reservation: CapacityReservation) -> None:
        self.reservation = reservation
        self.reserved: AcceptedTurn | None = None
        self.answer: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()

    def accept(self) -> TurnRun:
        """Answers with the turn that is stored now, and return its run."""
        assert self.reserved is not None, "the script that was committed sets it"  # noqa: S101  for the types
        turn = self.reserved
        run = TurnRun(
            turn.reply, turn.question.sequence_number, turn.resolved, turn.owner_id, turn.lookup, turn.history
        )
        if not self.answer.done():
            self.answer.set_result(Turn(turn.title, turn.question, turn.reply, run.stream))
        return run

    def refuse(self, error: Exception) -> None:
        """Answers with an error; nothing was stored."""
        self.reservation.release()
        self.answer_with(error)

    def answer_with(self, error: Exception) -> None:
        """Lets the caller go, whatever becomes of the turn."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # seen: a caller who has gone will not fetch it


class TurnService:
    """Turns as callers ask for them; those who asked only look on, and may leave at any moment."""

    def __init__(
        self,
        database: Database,
        router: Router,
        executor: TurnExecutor,
        remote_replies: RemoteReplies,
        process_id: str,
        timings: Timings,
    ) -> None:
        self._database = database
        self._router = router
        self.executor = executor
        """The turns of this process."""
        self._remote_replies = remote_replies
        self._process_id = process_id
        self._timings = timings

    async def begin(self, who: Principal, conversation_id: str, turn: NewTurn) -> Turn:
        """Accepts a turn of a conversation; once this returns, the message is on disk.

        Raises:
            ConversationNotFound: the principal has no such conversation.
            IdempotencyKeyReused: the turn's key stands for another request.
            UnknownModel: provider or model is not to be had.
            MessageTooLong: the model takes less than that.
            QuotaExceeded: the user has spent the tokens of the day.
            ConversationBusy: a turn of the conversation is unfinished, and this one is not to wait.
            QueueFull: too many turns of the conversation are unfinished.
            RateLimited: too many of the user's turns wait.
            Unavailable: the service has no room, is going away, or has no database.
        """
        await self._router.catalog.prepare(turn.sampling.provider)
        return await self._once(turn, who.user_id, conversation_id, self._reserve)

    async def begin_conversation(self, user_id: str, new: NewConversation, turn: NewTurn) -> Turn:
        """Makes a conversation and accepts its first turn, or neither; raises what `begin` does."""
        await self._router.catalog.prepare(turn.sampling.provider or new.sampling.provider)
        return await self._once(turn, user_id, None, self._create_and_reserve, new)

    async def regenerate(self, who: Principal, conversation_id: str, wanted: NewReply) -> Turn:
        """Accepts another reply to the question of the last one, which it supersedes once it has ended with text.

        Raises:
            MessageNotFound: there is no such message.
            InvalidRequest: it is no reply.
            TurnUnfinished: the reply is still being made.
            CannotRegenerate: it is not the last one, or its question is gone.
            AppError: what `begin` raises.
        """
        await self._router.catalog.prepare(wanted.sampling.provider)
        return await self._once(wanted, who.user_id, conversation_id, self._reserve_another)

    async def follow(self, who: Principal, conversation_id: str, message_id: str) -> Turn:
        """A turn of any age, wherever it runs or ran.

        Raises:
            ConversationNotFound, MessageNotFound: the principal has none such.
        """
        read = await self._database.read(stored_turn, who.user_id, conversation_id, message_id)
        stream = self._stream_of(read.reply)
        if read.retrieval is not None and stream.awaits_retrieval:
            stream.set_retrieval(read.retrieval)
        return Turn(read.title, read.question, read.reply, stream)

    async def cancel(self, who: Principal, conversation_id: str, message_id: str) -> Message:
        """Stops a turn, wherever it runs or waits: within a second, its text so far kept.

        Raises:
            ConversationNotFound, MessageNotFound: the principal has none such.
            AlreadyFinished: the message is terminal.
        """
        message = await self._database.write(cancel, who.user_id, conversation_id, message_id, now_ms())
        self.executor.cancel(message_id)
        return message

    async def read_while_client_waits(self, read: Callable[[], Awaitable[T]]) -> T:
        """Retry a read while the database is unavailable, and return its result.

        Raises:
            DatabaseUnavailable: it was unavailable for longer than clients wait.
        """
        return await while_clients_wait(self._timings, read)

    def _stream_of(self, message: Message) -> ReplyStream:
        run = self.executor.runs.get(message.message_id)
        if run is not None:
            return run.stream
        return ReplyStream.finished(message) if message.status.terminal else self._remote_replies.follow(message)

    async def _once(
        self,
        request: NewTurn | NewReply,
        owner: str | None,
        conversation_id: str | None,
        script: Callable[..., Transaction[None]],
        *new: NewConversation,
    ) -> Turn:
        """Accepts a turn, or finds the one that was accepted under its key."""
        key = request.key
        if key is None:
            return await self._accept(request, owner, conversation_id, script, *new)
        while True:
            first = await self._database.read(idempotency.find, owner, conversation_id, key.key)
            if first is None:
                try:
                    return await self._accept(request, owner, conversation_id, script, *new)
                except KeyTaken:
                    continue  # committed since: it is found now
            if first.fingerprint != key.fingerprint or first.message_id is None:
                raise IdempotencyKeyReused
            turn = await self.follow(Principal(owner), first.conversation_id, first.message_id)
            return turn._replace(replayed=True)

    async def _accept(
        self,
        request: NewTurn | NewReply,
        owner: str | None,
        conversation_id: str | None,
        script: Callable[..., Transaction[None]],
        *new: NewConversation,
    ) -> Turn:
        try:
            attempt = PendingTurn(self.executor.acquire_capacity())
        except Overloaded:
            without_room = reservations.owner_without_room
            owner_id = await self._database.read(without_room, owner, conversation_id, request.on_busy)
            raise self.executor.refusal(owner_id) from None
        self.executor.start_task(self._reserve_and_run(attempt, script, (owner, conversation_id, *new, request)))
        return await attempt.answer

    async def _reserve_and_run(
        self, attempt: PendingTurn, script: Callable[..., Transaction[None]], args: tuple[object, ...]
    ) -> None:
        try:
            await self._stored(attempt, script, args)
        except asyncio.CancelledError:  # the process ends, and leaves no more than a crash would
            attempt.refuse(Draining())
            raise
        except Exception as error:  # noqa: BLE001  the one who asked gets it, whatever it is
            attempt.refuse(error)
            return
        run = attempt.accept()
        for message_id in attempt.reserved.interrupts if attempt.reserved else ():
            self.executor.cancel(message_id)
        await self.executor.execute(run, attempt.reservation)

    async def _stored(
        self, attempt: PendingTurn, script: Callable[..., Transaction[None]], args: tuple[object, ...]
    ) -> None:
        """Store a turn; raises where nothing was stored."""
        try:
            await self._database.write(script, attempt, *args)
        except DatabaseUnavailable as error:
            if not await self._was_stored(attempt, error):
                raise

    async def _was_stored(self, attempt: PendingTurn, error: DatabaseUnavailable) -> bool:
        """Whether a commit came through whose acknowledgement was lost; the caller is not kept waiting long."""
        if attempt.reserved is None:
            return False
        reply_id = attempt.reserved.reply.message_id
        on_failure = lambda _: attempt.answer_with(error)  # noqa: E731
        retry = DatabaseRetry(self._database, self._timings, retried=Exception, on_failure=on_failure)
        return await retry.read(messages.message_by_id, reply_id) is not None

    def _reserve(
        self, attempt: PendingTurn, owner: str | None, conversation_id: str, turn: NewTurn
    ) -> Transaction[None]:
        wanted = self._reservation(attempt, owner, conversation_id, turn)
        attempt.reserved = yield from reservations.reserve(wanted, turn, title_from(turn.message))

    def _create_and_reserve(
        self, attempt: PendingTurn, user_id: str, _: None, new: NewConversation, turn: NewTurn
    ) -> Transaction[None]:
        now, conversation_id = now_ms(), new_id()
        owner_id, _made = yield from users.ensure(user_id, new_id(), now)
        yield from conversations.insert(conversation_id, owner_id, new, now)
        yield from self._reserve(attempt, user_id, conversation_id, turn)

    def _reserve_another(
        self, attempt: PendingTurn, owner: str | None, conversation_id: str, asked: NewReply
    ) -> Transaction[None]:
        wanted = self._reservation(attempt, owner, conversation_id, asked)
        attempt.reserved = yield from reservations.reserve_another(wanted, asked)

    def _reservation(
        self, attempt: PendingTurn, owner: str | None, conversation_id: str, asked: NewTurn | NewReply
    ) -> Reservation:
        return Reservation(
            conversation_id=conversation_id,
            owner=owner,
            process_id=self._process_id,
            resolve=functools.partial(self._router.catalog.resolve, asked.sampling),
            place=attempt.reservation.assign,
            fit=self._fit,
            daily_tokens=self.executor.quota.daily_tokens,
            key=asked.key,
            retrieval=asked.retrieval,
            now=now_ms(),
        )

    def _fit(self, resolved: ResolvedModel, mode: str, system_prompt: str | None, message: str) -> None:
        target = Target(resolved.provider, resolved.model)
        told = instructed(system_prompt) if mode == Mode.RAG else system_prompt
        fixed_tokens(told, message, self._router.window(target, resolved.max_tokens))


class StoredTurn(NamedTuple):
    """A turn as it is stored."""

    title: str | None
    question: Message | None
    reply: Message
    retrieval: RetrievalResult | None


def stored_turn(owner: str | None, conversation_id: str, message_id: str) -> Transaction[StoredTurn]:
    """Read a turn by its reply; a user's message is one without a question."""
    message = yield from require_message(owner, conversation_id, message_id)
    title = yield from conversations.title(conversation_id)
    if message.answers is None:
        return StoredTurn(title, None, message, None)
    question = yield from messages.message_by_number(conversation_id, message.answers)
    retrieval = None if message.grounded is None else (yield from retrieval_records.of_message(message_id))
    return StoredTurn(title, question, message, retrieval)


def cancel(owner: str | None, conversation_id: str, message_id: str, now: int) -> Transaction[Message]:
    """The transaction of a cancellation."""
    if not (yield from messages.lock_conversation(owner, conversation_id)):
        raise ConversationNotFound
    message = yield from require_message(owner, conversation_id, message_id)
    if message.status.terminal:
        raise AlreadyFinished
    yield from turns.cancel(message, now)
    return (yield from require_message(owner, conversation_id, message_id))
