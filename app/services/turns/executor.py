from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from app.db import turns
from app.db.database import Database
from app.domain.ids import now_ms
from app.domain.messages import Message, Status
from app.domain.prompt import prompt
from app.domain.turn_outcome import Outcome
from app.domain.turns import History
from app.errors import AppError, DatabaseUnavailable, Draining, InternalError
from app.llm.base import Target
from app.llm.calls import ModelCall
from app.llm.router import Router
from app.services.replies.generation import generate, with_record
from app.services.replies.grounded import GroundedGenerator
from app.services.replies.stream import ReplyStream, failure_of
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.outcome_log import log_turn_end
from app.services.runtime.process_lease import ProcessLease
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings
from app.services.turns.capacity import Capacity, CapacityReservation
from app.services.turns.client_wait import ClientWait
from app.services.turns.queue import TurnQueue
from app.services.turns.quota import TokenQuota, TurnUsageMeter
from app.services.turns.remote_replies import RemoteReplies

log = logging.getLogger(__name__)


class TurnExecutor:
    """The accepted turns of this process: each waits, starts, is generated and settled in a task of its own."""

    def __init__(  # noqa: PLR0913  all that a turn goes through
        self,
        database: Database,
        router: Router,
        grounding: GroundedGenerator,
        watches: RemoteReplies,
        slots: Capacity,
        budgets: TokenQuota,
        lease: ProcessLease,
        *,
        timings: Timings,
    ) -> None:
        self.replies: dict[str, ReplyStream] = {}
        """The unfinished replies, by id."""
        self.draining = False
        self.line = TurnQueue(database, slots, lease.process_id, timings)
        self.on_ended: list[Callable[[ReplyStream, Outcome], None]] = []
        """Who wants to know when a turn of this process has ended, and as what it was settled."""
        self.on_drain: list[Callable[[], Coroutine[Any, Any, None]]] = []
        """What else is given back to other processes when this one drains."""
        self.budgets = budgets
        self.grounding = grounding
        self._database = database
        self._router = router
        self._watches = watches
        self._slots = slots
        self._lease = lease
        self._timings = timings
        self._tasks = TaskOwner()

    def claim(self) -> CapacityReservation:
        """Room for one more turn.

        Raises:
            Draining: the process is going away.
            DatabaseUnavailable: the process has lost its lease, so that others would end the turn.
            Overloaded: there is none, whoever the user is.
        """
        if self.draining:
            raise Draining
        if self._lease.expired:
            raise DatabaseUnavailable
        return self._slots.claim()

    def refusal(self, owner_id: str | None) -> AppError:
        """Explain why a turn of this user, None for a new one, is refused where there is no room."""
        return self._slots.refusal(owner_id)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the work in a task that drains with the turns."""
        self._tasks.spawn(work)

    async def run(self, reply: ReplyStream, claim: CapacityReservation) -> None:
        """Brings an accepted turn to its end, whatever happens on the way."""
        message_id = reply.message.message_id
        self.replies[message_id] = reply
        try:
            try:
                await self._bring_to_end(reply, claim)
            except Exception:
                log.exception("a turn broke")
                await self._settle(reply, failure(InternalError(), reply))
        except asyncio.CancelledError:  # the drain's time is over: the text is there up to the last checkpoint
            reply.release()
            raise
        finally:
            del self.replies[message_id]
            reply.call = None  # with a whole prompt in it, however long the reply is read
            claim.give_back()
            self.line.nudge()

    async def adopt(self, message: Message) -> None:
        """Takes over a waiting turn that was given back, or whose process died; not where the line is full.

        Raises:
            Draining, Overloaded, DatabaseUnavailable: this process takes no more turns.
        """
        claim = self.claim()
        wait = functools.partial(claim.wait, adopted=True)
        try:
            retry = DatabaseRetry(self._database, self._timings)
            adopted = await retry.write(turns.adopt, self._lease.process_id, message, wait)
        except BaseException:
            claim.give_back()
            raise
        if adopted is None:
            claim.give_back()
        else:
            reply = ReplyStream(message, adopted.sampling, owner_id=adopted.owner_id, lookup=adopted.lookup)
            self.spawn(self.run(reply, claim))

    def conversation_deleted(self, conversation_id: str) -> None:
        """Stops the turns of a conversation that is gone; their readers hear of it."""
        for reply in list(self.replies.values()):
            if reply.message.conversation_id == conversation_id:
                self.stop(reply, Status.CANCELLED, deleted=True)

    def cancel(self, message_id: str) -> None:
        """Stops a turn whose row says so, if it is one of this process."""
        reply = self.replies.get(message_id)
        if reply is not None:
            self.stop(reply, Status.CANCELLED)

    def stop(self, reply: ReplyStream, status: Status, *, deleted: bool = False) -> None:
        """Stops a turn that waits or is at work."""
        reply.stop(status, deleted=deleted)
        self.line.leave(reply.message.message_id)

    async def drain(self, seconds: float) -> None:
        """Takes no more turns, gives back those that wait, and lets the others finish.

        What is not finished after so many seconds is kept as interrupted.
        """
        self.draining = True
        self._watches.close()
        for give_back in self.on_drain:
            self.spawn(give_back())
        for reply in list(self.replies.values()):
            reply.close()
            self.line.leave(reply.message.message_id)
        await self._tasks.wait(seconds)
        for reply in list(self.replies.values()):
            self.stop(reply, Status.INTERRUPTED)
        await self._tasks.drain(self._timings.last_commits)

    async def _bring_to_end(self, reply: ReplyStream, claim: CapacityReservation) -> None:
        if reply.message.status is Status.IN_PROGRESS or await self._comes_to_it(reply, claim):
            claim.start()
            await self._settle(reply, await self._generate(reply))
        elif reply.stopped_as is Status.CANCELLED:
            await self._settle(reply, Outcome(Status.CANCELLED, ""))
        else:
            await self._release(reply)

    async def _comes_to_it(self, reply: ReplyStream, claim: CapacityReservation) -> bool:
        """Whether a queued turn's time to start has come; a process that goes away leaves it where it is."""
        return not self.draining and await self.line.wait(reply, claim)

    async def _release(self, reply: ReplyStream) -> None:
        """Gives a turn back that has cost nothing yet; the lease's end does so too, if that fails."""
        reply.release()
        try:
            await self._database.write(turns.release, self._lease.process_id, reply.message.message_id)
        except Exception as error:  # whatever it is, the turn has not failed
            log.warning("cannot give a waiting turn back", exc_info=error)

    async def _generate(self, reply: ReplyStream) -> Outcome:
        try:
            async with self.budgets.spending(reply) as spending:
                history = await self._history(reply)
                reply.call = self._call(reply, history, spending)
                return await reply.outcome(asyncio.create_task(self._answer(reply.call, reply, history)))
        except AppError as error:
            return failure(error, reply)
        except Exception:
            log.exception("a turn broke on its way to or from the model")
            return failure(InternalError(), reply)

    async def _history(self, reply: ReplyStream) -> History:
        history, reply.history = reply.history, None
        if history is None:
            note = functools.partial(ClientWait(self._timings).note, replies=[reply])
            retry = DatabaseRetry(self._database, self._timings, on_failure=note)
            history = await retry.read(turns.history, reply.message)
        return history

    def _answer(self, call: ModelCall, reply: ReplyStream, history: History) -> Coroutine[Any, Any, Outcome]:
        if reply.lookup is None:
            return generate(self._router, call, reply)
        return self.grounding.answer(call, reply, reply.lookup, history)

    def _call(self, reply: ReplyStream, history: History, spending: TurnUsageMeter | None) -> ModelCall:
        sampling, question = reply.sampling, reply.message.answers
        assert question is not None, "a reply answers something"  # noqa: S101  for the types
        return ModelCall(
            target=Target(str(sampling.provider), str(sampling.model)),
            compose=functools.partial(prompt, history, question),
            sink=reply,
            deadline=asyncio.get_running_loop().time() + self._router.limits.total,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            exhausted=spending.reaches_limit if spending else None,
        )

    async def _settle(self, reply: ReplyStream, outcome: Outcome) -> None:
        """Store how a turn ended, however long that takes, and end it for its readers."""
        try:
            outcome = with_record(outcome, reply, reply.call)
        except Exception:
            log.exception("a reply is stored without what was done for it")
        on_failure = functools.partial(ClientWait(self._timings).note, replies=[reply])
        stored = await DatabaseRetry(self._database, self._timings, retried=Exception, on_failure=on_failure).write(
            turns.settle, self._lease.process_id, reply.owner_id, reply.message, outcome, now_ms()
        )
        if stored is None:
            reply.end_deleted()
        elif stored.status.terminal:
            reply.end(stored)
            log_turn_end(stored)
            self._tell_ended(reply, outcome)
        else:
            self._watches.take_over(reply)  # another process has adopted it

    def _tell_ended(self, reply: ReplyStream, outcome: Outcome) -> None:
        for tell in self.on_ended:
            try:
                tell(reply, outcome)
            except Exception:  # the turn itself has ended well
                log.exception("what follows a turn broke")


def failure(error: AppError, reply: ReplyStream) -> Outcome:
    """Make the outcome of a turn that ended by an error of this process; what readers have seen of the reply stays."""
    return Outcome(Status.FAILED, reply.text(), error=failure_of(error))
