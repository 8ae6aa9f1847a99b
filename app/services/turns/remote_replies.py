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
    """Polls the rows of replies that other processes generate, for readers of this one, twice a second.

    A stream is fed for as long as a reader holds it.
    """

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings
        self._streams: weakref.WeakValueDictionary[str, ReplyStream] = weakref.WeakValueDictionary()
        self._wakeup = asyncio.Event()
        self._closed = False
        self._client_wait = ClientWait(timings)

    @property
    def followed(self) -> list[str]:
        """Ids of the replies that readers of this process follow."""
        return list(self._streams)

    def follow(self, message: Message) -> ReplyStream:
        """Return the stream of an unfinished reply of another process."""
        stream = self._streams.get(message.message_id) or ReplyStream(message)
        self.attach(stream)
        return stream

    def attach(self, stream: ReplyStream) -> None:
        """Feed a stream from its row, also one whose turn has moved to another process; its readers stay."""
        if self._closed:
            stream.release()
            return
        self._streams[stream.message.message_id] = stream
        self._wakeup.set()

    def close(self) -> None:
        """Disconnect all readers, which resume at another process."""
        self._closed = True
        for stream in list(self._streams.values()):
            stream.release()
        self._streams.clear()

    def poller(self) -> Poller:
        return Poller("remote replies", self.poll, self._timings.remote_reply_poll, wakeup=self._wakeup)

    async def poll(self) -> None:
        """Append the new text of each row to its stream, and finish the streams of replies that have ended."""
        streams = dict(self._streams)
        if not streams:
            self._client_wait.note_success()
            return
        followed = [
            turns.FollowedReply(name, stream.length, stream.awaits_retrieval) for name, stream in streams.items()
        ]
        try:
            progress = await self._database.read(turns.progress, followed)
            self._client_wait.note_success()
        except Exception as error:
            self._client_wait.note_failure(error, streams.values())
            raise
        for message_id, stream in streams.items():
            if not self._closed:
                self._advance(stream, progress.get(message_id))

    def _advance(self, stream: ReplyStream, progress: turns.ReplyProgress | None) -> None:
        if progress is None:
            stream.finish_deleted()
        else:
            if progress.retrieval is not None:
                stream.set_retrieval(progress.retrieval)
            stream.append(progress.text)
            if progress.message is not None:
                stream.finish(progress.message)
        if stream.is_finished:
            self._streams.pop(stream.message.message_id, None)
