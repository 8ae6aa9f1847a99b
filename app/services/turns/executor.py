from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from app.db import turn_recovery, turns
from app.db.database import Database
from app.db.transaction import Transaction
from app.db.turn_recovery import Adopted
from app.domain.ids import now_ms
from app.domain.messages import Message, Status
from app.domain.prompt import build_prompt
from app.domain.turn_outcome import Outcome, failed_outcome
from app.domain.turns import History
from app.errors import AppError, DatabaseUnavailable, Draining, InternalError
from app.llm.calls import CallLimits
from app.llm.router import Router
from app.services.replies.generation import generate, with_record
from app.services.replies.grounded import GroundedGenerator
from app.services.replies.turn_run import TurnRun
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
    """Executes the accepted turns of this process, each in a task of its own, from the queue to its final status."""

    def __init__(  # noqa: PLR0913  the parts of a turn's execution
        self,
        database: Database,
        router: Router,
        grounded: GroundedGenerator,
        remote_replies: RemoteReplies,
        capacity: Capacity,
        quota: TokenQuota,
        lease: ProcessLease,
        *,
        timings: Timings,
        on_turn_finished: Sequence[Callable[[TurnRun], None]] = (),
        on_drain: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self.runs: dict[str, TurnRun] = {}
        """The unfinished turns, by the ids of their replies."""
        self.draining = False
        self.queue = TurnQueue(database, capacity, lease.process_id, timings)
        self.on_turn_finished = [*on_turn_finished]
        """Called when a turn of this process has finished and is stored."""
        self.grounded = grounded
        self.capacity = capacity
        self._on_drain = on_drain
        """Called when this process begins to drain."""
        self._database = database
        self._router = router
        self._remote_replies = remote_replies
        self._quota = quota
        self._lease = lease
        self._timings = timings
        self._tasks = TaskOwner()

    def reserve_capacity(self) -> CapacityReservation:
        """Return a reservation for one more turn.

        Raises:
            Draining: the process is shutting down.
            DatabaseUnavailable: the lease of the process has expired, so others would end the turn.
            Overloaded: the process has no room for any user.
        """
        if self.draining:
            raise Draining
        if self._lease.expired:
            raise DatabaseUnavailable
        return self.capacity.reserve()

    def refusal(self, owner_id: str | None) -> AppError:
        """Return the error for a turn of this user (None: a new user) when the process has no room."""
        return self.capacity.refusal(owner_id)

    def start_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work in a task that is drained with the turns."""
        self._tasks.spawn(work)

    async def execute(self, run: TurnRun, reservation: CapacityReservation) -> None:
        """Execute an accepted turn up to its final status, whatever fails on the way."""
        message_id = run.reply.message_id
        self.runs[message_id] = run
        try:
            try:
                await self._execute(run, reservation)
            except Exception:
                log.exception("a turn failed unexpectedly")
                await self._settle(run, failed_outcome(InternalError(), run.stream.text()))
        except asyncio.CancelledError:  # the drain is over: the text is stored up to the last checkpoint
            run.stream.release()
            raise
        finally:
            del self.runs[message_id]
            reservation.release()
            self.queue.wake()

    async def adopt(self, reply: Message) -> None:
        """Adopt a queued turn that was released, or whose process died; leave it there if the queue is full.

        Raises:
            Draining, Overloaded, DatabaseUnavailable: this process takes no more turns.
        """
        reservation = self.reserve_capacity()
        try:
            retry = DatabaseRetry(self._database, self._timings)
            adopted = await retry.write(adopt, self._lease.process_id, reply, reservation)
        except BaseException:
            reservation.release()
            raise
        if adopted is None:
            reservation.release()
        else:
            run = TurnRun(reply, adopted.question_number, adopted.resolved, adopted.owner_id, adopted.retrieval_request)
            self.start_task(self.execute(run, reservation))

    def conversation_deleted(self, conversation_id: str) -> None:
        """Stop the turns of a deleted conversation; their readers get a 404."""
        for run in list(self.runs.values()):
            if run.reply.conversation_id == conversation_id:
                self.stop(run, Status.CANCELLED, deleted=True)

    def cancel(self, message_id: str) -> None:
        """Stop a turn that is cancelled in its row, if this process executes it."""
        run = self.runs.get(message_id)
        if run is not None:
            self.stop(run, Status.CANCELLED)

    def stop(self, run: TurnRun, status: Status, *, deleted: bool = False) -> None:
        """Stop a queued or running turn."""
        run.abort(status, deleted=deleted)
        self.queue.remove(run.reply.message_id)

    async def drain(self, seconds: float) -> None:
        """Accept no more turns, release the queued ones, and interrupt the others that run longer than `seconds`."""
        self.draining = True
        self._remote_replies.close()
        for callback in self._on_drain:
            self.start_task(callback())
        for run in list(self.runs.values()):
            run.stream.close()
            self.queue.remove(run.reply.message_id)
        await self._tasks.wait(seconds)
        for run in list(self.runs.values()):
            self.stop(run, Status.INTERRUPTED)
        await self._tasks.drain(self._timings.last_commits)

    async def _execute(self, run: TurnRun, reservation: CapacityReservation) -> None:
        if run.reply.status is Status.IN_PROGRESS or await self._wait_in_queue(run, reservation):
            reservation.dequeue()
            await self._settle(run, await self._generate(run))
        elif run.aborted_as is Status.CANCELLED:
            await self._settle(run, Outcome(Status.CANCELLED, ""))
        else:
            await self._release(run)

    async def _wait_in_queue(self, run: TurnRun, reservation: CapacityReservation) -> bool:
        """Wait until the turn has started; return False if it was stopped before, or the process drains."""
        return not self.draining and await self.queue.wait_for_start(run, reservation)

    async def _release(self, run: TurnRun) -> None:
        """Release a queued turn, for another process to adopt; if that fails, the end of the lease does so."""
        run.stream.release()
        try:
            await self._database.write(turns.release, self._lease.process_id, run.reply.message_id)
        except Exception as error:  # whatever it is, the turn has not failed
            log.warning("cannot release a queued turn", exc_info=error)

    async def _generate(self, run: TurnRun) -> Outcome:
        try:
            async with self._quota.meter(run) as meter:
                history = await self._history(run)
                return await run.outcome_of(asyncio.create_task(self._reply(run, history, meter)))
        except AppError as error:
            return failed_outcome(error, run.stream.text())
        except Exception:
            log.exception("a turn failed before or after its model call")
            return failed_outcome(InternalError(), run.stream.text())

    async def _history(self, run: TurnRun) -> History:
        history = run.take_history()
        if history is None:
            note = functools.partial(ClientWait(self._timings).note_failure, streams=[run.stream])
            retry = DatabaseRetry(self._database, self._timings, on_failure=note)
            history = await retry.read(turns.history, run.reply, run.question_number)
        return history

    def _reply(self, run: TurnRun, history: History, meter: TurnUsageMeter | None) -> Coroutine[Any, Any, Outcome]:
        deadline = asyncio.get_running_loop().time() + self._router.limits.total
        limits = CallLimits(deadline, should_stop=meter.exceeded if meter else None)
        if run.retrieval_request is not None:
            return self.grounded.generate(run, run.retrieval_request, history, limits)
        build = functools.partial(build_prompt, history, run.question_number)
        return generate(self._router, run, run.start_call(build, run.stream, limits))

    async def _settle(self, run: TurnRun, outcome: Outcome) -> None:
        """Store the outcome of a turn, however long that takes, and end its stream."""
        try:
            outcome = with_record(outcome, run)
        except Exception:
            log.exception("a reply is stored without its record")
        note = functools.partial(ClientWait(self._timings).note_failure, streams=[run.stream])
        retry = DatabaseRetry(self._database, self._timings, retried=Exception, on_failure=note)
        stored = await retry.write(turns.settle, self._lease.process_id, run.owner_id, run.reply, outcome, now_ms())
        if stored is None:
            run.stream.finish_deleted()
        elif stored.status.terminal:
            run.stream.finish(stored)
            log_turn_end(stored)
            self._notify_finished(run)
        else:
            self._remote_replies.attach(run.stream)  # another process has adopted it

    def _notify_finished(self, run: TurnRun) -> None:
        for callback in self.on_turn_finished:
            try:
                callback(run)
            except Exception:  # the turn itself is stored
                log.exception("a callback after a turn failed")


def adopt(process_id: str, reply: Message, reservation: CapacityReservation) -> Transaction[Adopted | None]:
    """Adopt a queued turn and take a place in the queue for it; None if another process was first.

    Raises:
        Overloaded: the queue has no place left; the turn stays where it is.
    """
    adopted = yield from turn_recovery.adopt(process_id, reply)
    if adopted is not None:
        reservation.enqueue(adopted.owner_id, adopted=True)
    return adopted
