from __future__ import annotations

import asyncio
import weakref

from app.db import turns
from app.db.database import Database
from app.domain.messages import Message
from app.services.replies.stream import ReplyStream
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings
from app.services.turns.client_wait import ClientWait


class RemoteReplies:
    """Follows replies that other processes make, for readers of this one: a look at all of them twice a second.

    A reply is watched for as long as somebody holds it.
    """

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings
        self._watched: weakref.WeakValueDictionary[str, ReplyStream] = weakref.WeakValueDictionary()
        self._nudged = asyncio.Event()
        self._closed = False
        self._delay = ClientWait(timings)

    def follow(self, message: Message) -> ReplyStream:
        """An unfinished reply, as its text grows elsewhere."""
        reply = self._watched.get(message.message_id) or ReplyStream(message)
        self.take_over(reply)
        return reply

    def take_over(self, reply: ReplyStream) -> None:
        """Goes on with a reply whose turn has moved to another process; its readers notice nothing."""
        if self._closed:
            reply.release()
            return
        self._watched[reply.message.message_id] = reply
        self._nudged.set()

    def close(self) -> None:
        """Sends all readers away, to resume elsewhere."""
        self._closed = True
        for reply in list(self._watched.values()):
            reply.release()
        self._watched.clear()

    def poller(self) -> Poller:
        """Make the poller that reads the rows of followed replies."""
        return Poller("following of turns", self.look, self._timings.remote_reply_poll, wakeup=self._nudged)

    async def look(self) -> None:
        """Takes over what the rows have more than the replies, and ends those that have ended."""
        watched = dict(self._watched)
        if not watched:
            self._delay.end()
            return
        known = [turns.Watched(name, reply.length, reply.awaits_retrieval) for name, reply in watched.items()]
        try:
            found = await self._database.read(turns.progress, known)
            self._delay.end()
        except Exception as error:
            self._delay.note(error, watched.values())
            raise
        for message_id, reply in watched.items():
            if not self._closed:
                self._advance(reply, found.get(message_id))

    def _advance(self, reply: ReplyStream, progress: turns.Progress | None) -> None:
        if progress is None:
            reply.end_deleted()
        else:
            text, message, retrieval = progress
            if retrieval is not None:
                reply.looked_up(retrieval)
            reply.append(text)
            if message is not None:
                reply.end(message)
        if reply.ended:
            self._watched.pop(reply.message.message_id, None)
