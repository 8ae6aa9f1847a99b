from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from typing import NamedTuple

from app.db import conversations, messages, turns, users
from app.db.engine import Database
from app.db.script import Script, ScriptFunction
from app.domain.context import prompt
from app.domain.conversations import NewConversation
from app.domain.ids import new_id, now_ms
from app.domain.messages import Failure, Message, Status
from app.domain.principals import Principal
from app.domain.titles import title_from
from app.domain.turns import AcceptedTurn, NewTurn, Outcome
from app.errors import AppError, DatabaseUnavailable, Draining, InternalError, Overloaded
from app.llm.base import ChatRequest
from app.llm.catalog import Catalog
from app.services.generation import Limits, generate
from app.services.line import Line
from app.services.replies import Reply
from app.services.slots import MAX_WAITING, Claim, Slots
from app.services.tasks import TaskOwner

AGAIN_SECONDS = 0.5
LAST_SECONDS = 5.0
"""How long the last commits of interrupted turns may take."""

log = logging.getLogger(__name__)


class Turn(NamedTuple):
    """An accepted turn, and its reply in the making."""

    accepted: AcceptedTurn
    reply: Reply


class Attempt:
    """A turn that somebody asks for: what was reserved for it, and the answer that is waited for."""

    def __init__(self, slots: Slots) -> None:
        self.claim = Claim(slots)
        self.reserved: AcceptedTurn | None = None
        self.answer: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()

    def accept(self) -> Turn:
        """Answers with the turn that is stored now."""
        assert self.reserved is not None, "the script that was committed sets it"  # noqa: S101  for the types
        turn = Turn(self.reserved, Reply(self.reserved.reply, self.reserved.sampling, self.reserved.history))
        if not self.answer.done():
            self.answer.set_result(turn)
        return turn

    def refuse(self, error: Exception) -> None:
        """Answers with an error; nothing was stored."""
        self.claim.give_back()
        self.answer_with(error)

    def answer_with(self, error: Exception) -> None:
        """Lets the caller go, whatever becomes of the turn."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # seen: a caller who has gone will not fetch it


class Turns:
    """Runs turns: reserve, start, generate, settle, in one task that belongs to the service.

    The request that asked for a turn only looks on; it may leave at any moment and the turn is stored.
    """

    def __init__(self, database: Database, catalog: Catalog, process_id: str, limits: Limits) -> None:
        self.running: dict[str, Reply] = {}
        """The unfinished turns of this process, by the reply's id."""
        self.draining = False
        self._database = database
        self._catalog = catalog
        self._process_id = process_id
        self._limits = limits
        self._tasks = TaskOwner()
        self._slots = Slots(lambda provider: catalog[provider].concurrency)
        self.line = Line(database, self._slots, process_id)

    async def begin(self, who: Principal, conversation_id: str, turn: NewTurn) -> Turn:
        """Accepts a turn of a conversation; once this returns, the message is on disk.

        Raises:
            ConversationNotFound: the principal has no such conversation.
            UnknownModel: provider or model is not to be had.
            QueueFull: too many turns of the conversation are unfinished.
            Unavailable: the service has no room, is going away, or has no database.
        """
        return await self._accept(self._reserve, who.user_id, conversation_id, turn)

    async def begin_conversation(self, user_id: str, conversation_id: str, new: NewConversation, turn: NewTurn) -> Turn:
        """Makes a conversation and accepts its first turn, or neither; raises what `begin` does."""
        return await self._accept(self._create_and_reserve, user_id, conversation_id, new, turn)

    async def adopt(self, message: Message) -> None:
        """Takes over a waiting turn whose process died."""
        sampling = await self._database.transact(turns.adopt, self._process_id, message)
        if sampling is not None:
            self._tasks.spawn(self._run(Reply(message, sampling), Claim(self._slots)))

    def conversation_deleted(self, conversation_id: str) -> None:
        """Stops the turns of a conversation that is gone; their readers hear of it."""
        for reply in list(self.running.values()):
            if reply.message.conversation_id == conversation_id:
                self.stop(reply, Status.CANCELLED, deleted=True)

    def stop(self, reply: Reply, status: Status, *, deleted: bool = False) -> None:
        """Stops a turn that waits or is at work."""
        reply.stop(status, deleted=deleted)
        self.line.leave(reply.message.message_id)

    async def drain(self, seconds: float) -> None:
        """Takes no more turns, gives back those that wait, and lets the others finish.

        What is not finished after so many seconds is kept as interrupted.
        """
        self.draining = True
        for reply in list(self.running.values()):
            reply.close()
            self.line.leave(reply.message.message_id)
        await self._tasks.wait(seconds)
        for reply in list(self.running.values()):
            self.stop(reply, Status.INTERRUPTED)
        await self._tasks.drain(LAST_SECONDS)

    async def _accept(self, script: ScriptFunction[None], *args: object) -> Turn:
        if self.draining:
            raise Draining
        if len(self.line) >= MAX_WAITING:
            raise Overloaded
        attempt = Attempt(self._slots)
        self._tasks.spawn(self._reserve_and_run(attempt, script, args))
        return await attempt.answer

    async def _reserve_and_run(self, attempt: Attempt, script: ScriptFunction[None], args: tuple[object, ...]) -> None:
        try:
            await self._database.transact(script, attempt, *args)
        except DatabaseUnavailable as error:
            if not await self._was_stored(attempt, error):
                attempt.refuse(error)
                return
        except Exception as error:  # noqa: BLE001  the one who asked gets it, whatever it is
            attempt.refuse(error)
            return
        turn = attempt.accept()
        await self._run(turn.reply, attempt.claim)

    async def _was_stored(self, attempt: Attempt, error: DatabaseUnavailable) -> bool:
        """Whether a commit came through whose acknowledgement was lost; the caller is not kept waiting long."""
        while attempt.reserved is not None:
            try:
                reply_id = attempt.reserved.reply.message_id
                return await self._database.query(messages.message_by_id, reply_id) is not None
            except DatabaseUnavailable:
                attempt.answer_with(error)
                await asyncio.sleep(AGAIN_SECONDS)
        return False

    def _reserve(self, attempt: Attempt, owner: str | None, conversation_id: str, turn: NewTurn) -> Script[None]:
        reservation = turns.Reservation(
            conversation_id=conversation_id,
            owner=owner,
            message=turn.message,
            title=title_from(turn.message),
            process_id=self._process_id,
            settle=functools.partial(self._catalog.settle, turn.sampling),
            may_start=attempt.claim.take,
            now=now_ms(),
        )
        attempt.reserved = yield from turns.reserve(reservation)

    def _create_and_reserve(
        self, attempt: Attempt, user_id: str, conversation_id: str, new: NewConversation, turn: NewTurn
    ) -> Script[None]:
        now = now_ms()
        owner_id, _ = yield from users.ensure(user_id, new_id(), now)
        yield from conversations.insert(conversation_id, owner_id, new, now)
        yield from self._reserve(attempt, user_id, conversation_id, turn)

    async def _run(self, reply: Reply, claim: Claim) -> None:
        message_id = reply.message.message_id
        self.running[message_id] = reply
        try:
            if reply.message.status is Status.IN_PROGRESS or await self._comes_to_it(reply, claim):
                await self._settle(reply, await self._generate(reply))
            elif reply.stopped_as is Status.CANCELLED:
                await self._settle(reply, Outcome(Status.CANCELLED, ""))
            else:
                reply.release()  # it has cost nothing yet: another process adopts it
        except Exception:
            log.exception("a turn broke")
            reply.end(ended(reply.message, failure(InternalError()), now_ms()))  # nobody is kept waiting for it
        finally:
            del self.running[message_id]
            claim.give_back()
            self.line.nudge()

    async def _comes_to_it(self, reply: Reply, claim: Claim) -> bool:
        """Whether a queued turn's time to start has come; a process that goes away leaves it where it is."""
        return not self.draining and await self.line.wait(reply, claim)

    async def _generate(self, reply: Reply) -> Outcome:
        try:
            model, request = self._catalog[str(reply.sampling.provider)], await self._request(reply)
        except AppError as error:
            return failure(error)
        except Exception:
            log.exception("a turn broke on its way to the model")
            return failure(InternalError())
        return await reply.outcome(asyncio.create_task(generate(model, request, reply, self._limits)))

    async def _request(self, reply: Reply) -> ChatRequest:
        sampling = reply.sampling
        history, reply.history = reply.history, None
        if history is None:
            history = await self._database.query(turns.history, reply.message)
        window = self._catalog[str(sampling.provider)].context_window
        told = prompt(history, reply.message.sequence_number - 1, window, sampling.max_tokens)
        return ChatRequest(str(sampling.model), told, sampling.temperature, sampling.max_tokens)

    async def _settle(self, reply: Reply, outcome: Outcome) -> None:
        now = now_ms()
        while True:
            try:
                mine = await self._database.transact(turns.settle, self._process_id, reply.message, outcome, now)
                break
            except DatabaseUnavailable:
                await asyncio.sleep(AGAIN_SECONDS)
        reply.end(ended(reply.message, outcome, now) if mine else await self._as_stored(reply, now))

    async def _as_stored(self, reply: Reply, now: int) -> Message:
        """What became of a turn that is not ours to end: somebody else ended it, or deleted it."""
        stored = await self._database.query(messages.message_by_id, reply.message.message_id)
        if stored is not None and stored.status.terminal:
            return stored
        reply.deleted = stored is None
        return ended(reply.message, Outcome(Status.CANCELLED, reply.text()), now)


def failure(error: AppError) -> Outcome:
    """The outcome of a turn that did not come to its model."""
    return Outcome(Status.FAILED, "", error=Failure(error.code, error.detail))


def ended(message: Message, outcome: Outcome, now: int) -> Message:
    """A reply as its outcome leaves it."""
    return dataclasses.replace(
        message,
        status=outcome.status,
        content=outcome.text,
        finish_reason=outcome.finish_reason,
        usage=outcome.usage,
        error=outcome.error,
        completed_at=now,
    )
