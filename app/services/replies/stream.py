from __future__ import annotations

import asyncio
import dataclasses
import io

from app.domain.ids import now_ms
from app.domain.messages import Failure, Message, Sampling, Status
from app.domain.retrieval import Lookup, RetrievalResult
from app.domain.turn_outcome import Outcome
from app.domain.turns import History
from app.errors import AppError, DatabaseUnavailable, Draining, InternalError
from app.llm.calls import ModelCall


class ReplyStream:
    """A reply while its turn is unfinished: its text, kept once, and all who wait for more of it.

    The text is the log: a reader is a number of characters, so that a slow one costs nothing and holds nothing up.
    """

    def __init__(
        self,
        message: Message,
        sampling: Sampling | None = None,
        history: History | None = None,
        owner_id: str = "",
        lookup: Lookup | None = None,
    ) -> None:
        self.message = message
        """As it was accepted; once the turn has ended, as it ended."""
        self.sampling = sampling or Sampling()
        self.history = history
        """What it answers to, when that has been read already."""
        self.owner_id = owner_id
        """The row of the user whose it is; empty where it is only read."""
        self.lookup = lookup
        """What may be looked up for it; None in an open conversation, or where it is only read."""
        self.retrieval: RetrievalResult | None = None
        """What was looked up for it, as soon as that is known."""
        self.call: ModelCall | None = None
        """What is done for it."""
        self.length = 0
        self.deleted = False
        """Whether the conversation went away under the turn."""
        self.closing = False
        """Whether readers should go, since this process does."""
        self.stopped_as: Status | None = None
        self._text = io.StringIO()
        self._shown = False
        self._thoughts: list[str] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._end: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._generation: asyncio.Task[Outcome] | None = None

    @classmethod
    def of(cls, message: Message) -> ReplyStream:
        """A message that has ended, as what its readers read."""
        reply = cls(message)
        reply.end(message)
        return reply

    @property
    def ended(self) -> bool:
        """Whether `message` is terminal."""
        return self.message.status.terminal

    @property
    def awaits_retrieval(self) -> bool:
        """Whether it is made from documents, and not known yet from what."""
        return self.retrieval is None and self.message.grounded is not None

    def looked_up(self, retrieval: RetrievalResult) -> None:
        """Takes note of what was looked up for it."""
        self.retrieval = retrieval
        self._wake()

    def append(self, text: str) -> None:
        """Adds to the text."""
        if text:
            self._text.seek(self.length)
            self._text.write(text)
            self.length += len(text)
            self._wake()

    def think(self, text: str) -> None:
        """Adds to the thinking behind it."""
        self._thoughts.append(text)

    def retract(self) -> str | None:
        """Takes back the text so far, and gives it; None where a reader has been sent any of it, or it was saved."""
        if self._shown:
            return None
        text = self._text.getvalue()
        self._text, self.length = io.StringIO(), 0
        return text

    def reasoning(self) -> str:
        """The thinking so far."""
        return "".join(self._thoughts)

    def end(self, message: Message) -> None:
        """Ends it; readers find the message as it is stored, and no text beyond that."""
        self.message = message
        self.length = len(message.content)
        self._thoughts = []
        self._text = io.StringIO()  # four bytes a character: the message has them now
        if not self._end.done():
            self._end.set_result(message)
        self._wake()

    def end_deleted(self) -> None:
        """Ends it as one whose row has gone."""
        self.deleted = True
        ended = dataclasses.replace(self.message, status=Status.CANCELLED, completed_at=now_ms())
        self.end(dataclasses.replace(ended, content=self.text()))

    def close(self) -> None:
        """Sends the readers away, to resume elsewhere; the turn goes on."""
        self.closing = True
        self._wake()

    def release(self) -> None:
        """Says that the turn goes on elsewhere since this process goes away, also to those who wait for its end."""
        self._answer_waiting(Draining())
        self.close()

    def put_off(self, cause: Exception) -> None:
        """Answer those who wait for the end that it cannot be known now; the turn and its streams go on."""
        if not self._end.done():
            self._answer_waiting(DatabaseUnavailable() if isinstance(cause, DatabaseUnavailable) else InternalError())
            self._end = asyncio.get_running_loop().create_future()

    def text(self, start: int = 0, size: int | None = None) -> str:
        """The text from a character on; all of it, or so many characters. What was given is not taken back."""
        if self.ended:
            return self.message.content[start : None if size is None else start + size]
        self._text.seek(start)
        text = self._text.read(size)
        self._shown = self._shown or text != ""
        return text

    async def more_than(self, length: int) -> None:
        """Waits until there is more text than so many characters, or the end, or readers should go."""
        while self.length <= length and not (self.ended or self.closing):
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    async def until_looked_up(self) -> None:
        """Waits until it is known what was looked up, or no longer matters: there is text, or the end."""
        while self.awaits_retrieval and not (self.length or self.ended or self.closing):
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    async def until_ended(self) -> Message:
        """Wait for the end.

        Raises:
            Draining: the process goes away, and the turn goes on elsewhere.
            DatabaseUnavailable, InternalError: the end could not be read or stored for as long as a client waits.
        """
        return await asyncio.shield(self._end)

    async def outcome(self, generation: asyncio.Task[Outcome]) -> Outcome:
        """How the generation ended: by itself, or stopped."""
        self._generation = generation
        if self.stopped_as is not None:
            generation.cancel()
        try:
            return await generation
        except asyncio.CancelledError:
            if self.stopped_as is not None:
                return Outcome(self.stopped_as, self.text())
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # not the model alone: this very task is cancelled
                raise
            return Outcome(Status.FAILED, self.text(), error=failure_of(InternalError()))
        finally:
            self._generation = None

    def stop(self, status: Status, *, deleted: bool = False) -> None:
        """Stops the model; the turn then ends with this status and the text so far."""
        self.stopped_as = self.stopped_as or status
        self.deleted = self.deleted or deleted
        if self._generation is not None:
            self._generation.cancel()

    def _answer_waiting(self, error: AppError) -> None:
        if not self._end.done():
            error.members = {"conversation_id": self.message.conversation_id, "message_id": self.message.message_id}
            self._end.set_exception(error)
            self._end.exception()  # seen: there may be nobody who waits

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


def failure_of(error: AppError) -> Failure:
    """What is stored of an error that ends a turn."""
    return Failure(error.code, error.detail, error.retry_after)
