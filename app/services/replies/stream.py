from __future__ import annotations

import asyncio
import dataclasses
import io

from app.domain.ids import now_ms
from app.domain.messages import Message, Status
from app.domain.retrieval import RetrievalResult
from app.errors import AppError, DatabaseUnavailable, Draining, InternalError


class ReplyStream:
    """The text of one reply, its end, and the readers that wait for either.

    The text is kept once, whole. A reader is only an offset into it: a slow one costs no memory and delays no other.
    """

    def __init__(self, message: Message) -> None:
        self.message = message
        """As it was accepted; after the end, as it is stored."""
        self.retrieval: RetrievalResult | None = None
        """Set by `set_retrieval`."""
        self.length = 0
        """Number of characters."""
        self.deleted = False
        """True if the conversation was deleted during the turn."""
        self.closing = False
        """True if readers should disconnect since this process is shutting down."""
        self._text = io.StringIO()
        self._was_read = False
        self._reasoning: list[str] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._finished: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    @classmethod
    def finished(cls, message: Message) -> ReplyStream:
        """Return the stream of a message that has a terminal status."""
        stream = cls(message)
        stream.finish(message)
        return stream

    @property
    def is_finished(self) -> bool:
        """True if the message has a terminal status."""
        return self.message.status.terminal

    @property
    def awaits_retrieval(self) -> bool:
        """True for a grounded reply before its retrieval result is known."""
        return self.retrieval is None and self.message.grounded is not None

    def set_retrieval(self, retrieval: RetrievalResult) -> None:
        self.retrieval = retrieval
        self._wake_readers()

    def append(self, text: str) -> None:
        if text:
            self._text.seek(self.length)
            self._text.write(text)
            self.length += len(text)
            self._wake_readers()

    def append_reasoning(self, text: str) -> None:
        self._reasoning.append(text)

    def retract(self) -> str | None:
        """Remove and return the text so far; None, with nothing removed, if any of it was read."""
        if self._was_read:
            return None
        text = self._text.getvalue()
        self._text, self.length = io.StringIO(), 0
        return text

    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def finish(self, message: Message) -> None:
        """End the stream with the message as it is stored; readers get no text beyond that."""
        self.message = message
        self.length = len(message.content)
        self._reasoning = []
        self._text = io.StringIO()  # frees four bytes a character: the message holds the text now
        if not self._finished.done():
            self._finished.set_result(message)
        self._wake_readers()

    def finish_deleted(self) -> None:
        """End the stream of a reply whose row is gone: cancelled, with the text so far."""
        self.mark_deleted()
        cancelled = dataclasses.replace(self.message, status=Status.CANCELLED, completed_at=now_ms())
        self.finish(dataclasses.replace(cancelled, content=self.text()))

    def mark_deleted(self) -> None:
        self.deleted = True

    def close(self) -> None:
        """Disconnect the readers, which resume at another process; the turn goes on."""
        self.closing = True
        self._wake_readers()

    def release(self) -> None:
        """Disconnect all readers, including those that wait for the end: the turn goes on in another process."""
        self._fail_waiting(Draining())
        self.close()

    def give_up_waiting(self, cause: Exception) -> None:
        """Raise an error in all calls of `wait_finished`; the turn and its readers go on."""
        if not self._finished.done():
            self._fail_waiting(DatabaseUnavailable() if isinstance(cause, DatabaseUnavailable) else InternalError())
            self._finished = asyncio.get_running_loop().create_future()

    def text(self, start: int = 0, size: int | None = None) -> str:
        """Return the text from a character on, at most `size` characters; `retract` is refused from then on."""
        if self.is_finished:
            return self.message.content[start : None if size is None else start + size]
        self._text.seek(start)
        text = self._text.read(size)
        self._was_read = self._was_read or text != ""
        return text

    async def wait_beyond(self, length: int) -> None:
        """Wait for more than `length` characters, the end, or `closing`."""
        while self.length <= length and not (self.is_finished or self.closing):
            await self._wait_for_change()

    async def wait_for_retrieval(self) -> None:
        """Wait for the retrieval result, the first text, the end, or `closing`."""
        while self.awaits_retrieval and not (self.length or self.is_finished or self.closing):
            await self._wait_for_change()

    async def wait_finished(self) -> Message:
        """Wait for the end, and return the message as it is stored.

        Raises:
            Draining: the process shuts down, and the turn goes on elsewhere.
            DatabaseUnavailable, InternalError: the end could not be read or stored for as long as a client waits.
        """
        return await asyncio.shield(self._finished)

    async def _wait_for_change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _fail_waiting(self, error: AppError) -> None:
        if not self._finished.done():
            error.members = {"conversation_id": self.message.conversation_id, "message_id": self.message.message_id}
            self._finished.set_exception(error)
            self._finished.exception()  # marks it as retrieved: there may be no reader

    def _wake_readers(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
