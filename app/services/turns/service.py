from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from app.db import conversations, idempotency, messages, retrieval_records, turns
from app.db.database import Database
from app.db.idempotency import KeyTaken
from app.db.transaction import Transaction
from app.domain.conversations import NewConversation
from app.domain.ids import now_ms
from app.domain.messages import Message
from app.domain.principals import Principal
from app.domain.retrieval import RetrievalResult
from app.domain.turns import AcceptedTurn, NewReply, NewTurn
from app.errors import (
    AlreadyFinished,
    ConversationNotFound,
    DatabaseUnavailable,
    Draining,
    IdempotencyKeyReused,
    Overloaded,
)
from app.llm.router import Router
from app.services.messages import require_message
from app.services.replies.stream import ReplyStream
from app.services.replies.turn_run import TurnRun
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.timings import Timings
from app.services.turns.client_wait import read_while_clients_wait
from app.services.turns.executor import TurnExecutor
from app.services.turns.remote_replies import RemoteReplies
from app.services.turns.reservation import (
    ConversationToCreate,
    PendingTurn,
    Turn,
    TurnRequest,
    TurnReservations,
    owner_of,
)

T = TypeVar("T")


class TurnService:
    """Accepts, follows and cancels turns. A turn goes on when its caller disconnects."""

    def __init__(
        self,
        database: Database,
        router: Router,
        executor: TurnExecutor,
        remote_replies: RemoteReplies,
        reservations: TurnReservations,
        timings: Timings,
    ) -> None:
        self.executor = executor
        self.remote_replies = remote_replies
        self._database = database
        self._router = router
        self._reservations = reservations
        self._timings = timings

    async def accept(self, principal: Principal, conversation_id: str, turn: NewTurn) -> Turn:
        """Accept a turn of a conversation; the message is stored when this returns.

        Raises:
            ConversationNotFound: the principal has no such conversation.
            IdempotencyKeyReused: the turn's key belongs to another request.
            UnknownModel: the provider or model does not exist.
            MessageTooLong: the message does not fit the model.
            QuotaExceeded: the user's tokens of the day are spent.
            ConversationBusy: another turn of the conversation is unfinished, and this one must not wait.
            QueueFull: too many turns of the conversation are unfinished.
            RateLimited: too many of the user's turns are queued.
            Unavailable: the process has no room, is shutting down, or has no database.
        """
        await self._router.catalog.prepare(turn.sampling.provider)
        return await self._accept_or_replay(TurnRequest(principal.user_id, conversation_id, turn))

    async def accept_first(self, user_id: str, new: NewConversation, turn: NewTurn) -> Turn:
        """Create a conversation and accept its first turn, or neither; raises what `accept` does."""
        await self._router.catalog.prepare(turn.sampling.provider or new.sampling.provider)
        return await self._accept_or_replay(TurnRequest(user_id, ConversationToCreate(user_id, new), turn))

    async def regenerate(self, principal: Principal, conversation_id: str, new: NewReply) -> Turn:
        """Accept another reply to the question of the last one, which it supersedes once it has ended with text.

        Raises:
            MessageNotFound: the conversation has no such message.
            InvalidRequest: the message is not a reply.
            TurnUnfinished: the reply is not finished.
            CannotRegenerate: it is not the last one, or its question is deleted.
            AppError: what `accept` raises.
        """
        await self._router.catalog.prepare(new.sampling.provider)
        return await self._accept_or_replay(TurnRequest(principal.user_id, conversation_id, new))

    async def follow(self, principal: Principal, conversation_id: str, message_id: str) -> Turn:
        """Return a turn of any age, in whichever process it runs or ran.

        Raises:
            ConversationNotFound, MessageNotFound: the principal has none such.
        """
        stored = await self._database.read(stored_turn, principal.user_id, conversation_id, message_id)
        stream = self._stream_of(stored.reply)
        if stored.retrieval is not None and stream.awaits_retrieval:
            stream.set_retrieval(stored.retrieval)
        return Turn(stored.title, stored.question, stored.reply, stream)

    async def cancel(self, principal: Principal, conversation_id: str, message_id: str) -> Message:
        """Cancel a queued or running turn of any process: it ends within a second, with its text so far.

        Raises:
            ConversationNotFound, MessageNotFound: the principal has none such.
            AlreadyFinished: the message has a terminal status.
        """
        message = await self._database.write(cancel, principal.user_id, conversation_id, message_id, now_ms())
        self.executor.cancel(message_id)
        return message

    async def read_while_client_waits(self, read: Callable[[], Awaitable[T]]) -> T:
        """Retry a read while the database is unavailable, and return its result.

        Raises:
            DatabaseUnavailable: it was unavailable for longer than clients wait.
        """
        return await read_while_clients_wait(self._timings, read)

    def _stream_of(self, message: Message) -> ReplyStream:
        run = self.executor.runs.get(message.message_id)
        if run is not None:
            return run.stream
        return ReplyStream.finished(message) if message.status.terminal else self.remote_replies.follow(message)

    async def _accept_or_replay(self, request: TurnRequest) -> Turn:
        """Accept a turn, or return the one that was accepted under its idempotency key."""
        key = request.turn.key
        if key is None:
            return await self._accept_new(request)
        while True:
            first = await self._database.read(idempotency.find, request.owner, request.conversation_id, key.key)
            if first is None:
                try:
                    return await self._accept_new(request)
                except KeyTaken:
                    continue  # committed since: it is found now
            if first.fingerprint != key.fingerprint or first.message_id is None:
                raise IdempotencyKeyReused
            turn = await self.follow(Principal(request.owner), first.conversation_id, first.message_id)
            return turn._replace(replayed=True)

    async def _accept_new(self, request: TurnRequest) -> Turn:
        try:
            reservation = self.executor.reserve_capacity()
        except Overloaded:
            owner_id = await self._database.read(owner_of, request)
            raise self.executor.refusal(owner_id) from None
        pending = PendingTurn(request, reservation)
        self.executor.start_task(self._reserve_and_execute(pending))
        return await pending.answer

    async def _reserve_and_execute(self, pending: PendingTurn) -> None:
        try:
            turn = await self._reserve(pending)
        except asyncio.CancelledError:  # the process ends, and leaves no more than a crash would
            pending.refuse(Draining())
            raise
        except Exception as error:  # noqa: BLE001  it is raised to the caller, whatever it is
            pending.refuse(error)
            return
        run = TurnRun.of(turn)
        pending.accept(Turn(turn.title, turn.question, turn.reply, run.stream))
        for message_id in turn.interrupts:
            self.executor.cancel(message_id)
        await self.executor.execute(run, pending.reservation)

    async def _reserve(self, pending: PendingTurn) -> AcceptedTurn:
        """Store a turn; if the database fails, find out whether only the acknowledgement of the commit was lost."""
        try:
            return await self._database.write(self._reservations.reserve, pending)
        except DatabaseUnavailable as error:
            unacknowledged = pending.accepted
            if unacknowledged is None or not await self._is_stored(unacknowledged, pending, error):
                raise
            return unacknowledged

    async def _is_stored(self, turn: AcceptedTurn, pending: PendingTurn, error: DatabaseUnavailable) -> bool:
        """Read a turn's reply until the database answers; the caller gets the error at the next failure."""
        retry = DatabaseRetry(
            self._database, self._timings, retried=Exception, on_failure=lambda _: pending.fail(error)
        )
        return await retry.read(messages.message_by_id, turn.reply.message_id) is not None


class StoredTurn(NamedTuple):
    """A turn as it is stored."""

    title: str | None
    question: Message | None
    reply: Message
    retrieval: RetrievalResult | None


def stored_turn(owner: str | None, conversation_id: str, message_id: str) -> Transaction[StoredTurn]:
    """Read a turn by its reply; for a user's message, one without a question."""
    message = yield from require_message(owner, conversation_id, message_id)
    title = yield from conversations.title(conversation_id)
    if message.answers is None:
        return StoredTurn(title, None, message, None)
    question = yield from messages.message_by_number(conversation_id, message.answers)
    retrieval = None if message.grounded is None else (yield from retrieval_records.retrieval_of(message_id))
    return StoredTurn(title, question, message, retrieval)


def cancel(owner: str | None, conversation_id: str, message_id: str, now: int) -> Transaction[Message]:
    """Cancel a queued turn, or request the end of a running one; raises what `TurnService.cancel` does."""
    if not (yield from messages.lock_conversation(owner, conversation_id)):
        raise ConversationNotFound
    message = yield from require_message(owner, conversation_id, message_id)
    if message.status.terminal:
        raise AlreadyFinished
    yield from turns.cancel(message, now)
    return (yield from require_message(owner, conversation_id, message_id))
