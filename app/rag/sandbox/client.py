"""Reads documents in processes of their own, forked by a server that has loaded what reads them.

A fresh interpreter would take half a second for each document, a fork takes some milliseconds. The fork server of
`multiprocessing` is not used: it imports the service's main module into every process that it forks, and has its
results unpickled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec

import orjson

from app.domain.documents import ExtractedDocument
from app.rag.extraction.errors import CORRUPT, INTERRUPTED, OUT_OF_CPU, OUT_OF_MEMORY, OUT_OF_TIME, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.registry import base_libraries
from app.rag.sandbox.protocol import EXIT, HEAD, PROGRESS, REQUEST, ResultReader, frame_head

LIBRARIES = tuple(each.partition(".")[0] for each in (*base_libraries(), "numpy", "snowballstemmer", "tokenizers"))
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE}
"""Exit codes of a process that a library ends, as it does where memory or stack is not given."""
PIECE_BYTES = 1 << 18
"""Of a document, which are sent at once: more would be moved about in the transport's buffer."""
END_SECONDS = 5.0
"""What the server has for its end, before it is killed."""


def installed() -> bool:
    """Whether what reads documents, the extra `documents`, is there."""
    return all(find_spec(each) is not None for each in LIBRARIES)


class Lost(Exception):
    """The server has ended, and with it all that it had forked."""


class DocumentReader:
    """Reads documents, `at_once` at a time; its server runs from the first on, until none came for `idle_seconds`."""

    def __init__(self, limits: Limits | None = None, *, at_once: int = 2, idle_seconds: float = 60) -> None:
        self.slots = asyncio.Semaphore(at_once)
        """One is taken while a document is read."""
        self._limits = limits or Limits()
        self._idle = idle_seconds
        self._starting = asyncio.Lock()
        self._server: Server | None = None
        self._closed = False

    async def read(
        self, content: bytes, media_type: str, progress: Callable[[int, int], None] | None = None
    ) -> ExtractedDocument:
        """What is in a document; `progress` is told pages done, of how many. When it is cancelled, so is the reading.

        Raises:
            Unreadable: the document cannot be read, or not now.
        """
        async with self.slots:
            for _ in range(2):  # a server that has just gone idle, or was killed, is started again once
                try:
                    return await self._read(content, media_type, progress)
                except Lost:
                    continue
        raise ExtractionError(INTERRUPTED)

    async def aclose(self) -> None:
        """Ends the server and what is being read, whose callers get `Unreadable`."""
        async with self._starting:
            self._closed = True
            if self._server is not None:
                await self._server.end()

    async def _read(
        self, content: bytes, media_type: str, progress: Callable[[int, int], None] | None
    ) -> ExtractedDocument:
        server = await self._running()
        with ends() as (data, its_data), ends() as (leash, its_leash):
            try:
                server.fork(its_data, its_leash)
                async with asyncio.timeout(self._limits.wall_seconds):
                    asked = orjson.dumps({"media_type": media_type, "limits": asdict(self._limits)})
                    document = await answer(data, asked, content, ResultReader(self._limits), progress)
                    if document is None:
                        raise await exit_reason(leash)
            except Lost:
                server.ended = True
                raise
            except TimeoutError as error:
                raise ExtractionError(OUT_OF_TIME) from error
        return document

    async def _running(self) -> Server:
        """The server, started if there is none."""
        async with self._starting:
            if self._closed:
                raise ExtractionError(INTERRUPTED)
            if self._server is not None and self._server.ended:
                await self._server.end()
                self._server = None
            if self._server is None:
                self._server = await Server.started(self._idle)
            return self._server


class Server:
    """The process that forks, from the outside."""

    def __init__(self, process: Process, control: socket.socket) -> None:
        self.ended = False
        """Whether it was found to run no more."""
        self._process = process
        self._control = control

    @classmethod
    async def started(cls, idle_seconds: float) -> Server:
        """A new one, which knows nothing of this process but where its code is."""
        control, its_control = socket.socketpair()
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TOKENIZERS_PARALLELISM": "false"}
        command = (sys.executable, "-P", "-m", "app.rag.sandbox.fork_server", str(idle_seconds))
        try:
            with its_control:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=its_control.fileno(),
                    stdout=DEVNULL,
                    stderr=DEVNULL,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
        except BaseException:
            control.close()
            raise
        control.setblocking(False)
        return cls(process, control)

    def fork(self, data: socket.socket, leash: socket.socket) -> None:
        """Has a process forked that has the other ends of these.

        Raises:
            Lost: it has ended.
        """
        try:
            socket.send_fds(self._control, [b"f"], [data.fileno(), leash.fileno()])
        except OSError as error:
            raise Lost from error
        finally:
            data.close()
            leash.close()

    async def end(self) -> None:
        """Ends it, and all that it forked."""
        self._control.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


@contextlib.contextmanager
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a connection, closed at the end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def answer(
    data: socket.socket,
    asked: bytes,
    content: bytes,
    receiver: ResultReader,
    progress: Callable[[int, int], None] | None,
) -> ExtractedDocument | None:
    """What a forked process answers; None if it ends before it has."""
    reader, writer = await asyncio.open_unix_connection(sock=data)
    try:
        writer.write(REQUEST.pack(len(asked), len(content)) + asked)
        for place in range(0, len(content), PIECE_BYTES):
            writer.write(content[place : place + PIECE_BYTES])
            await writer.drain()
        while receiver.document is None:
            kind, length = frame_head(await reader.readexactly(HEAD.size))
            receiver.take(kind, await reader.readexactly(length))
            if progress is not None and kind == PROGRESS:
                progress(*receiver.progress)
    except (ConnectionError, asyncio.IncompleteReadError):
        return None
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # it is not itself any more
        raise ExtractionError(CORRUPT) from error
    finally:
        writer.transport.abort()
    return receiver.document


async def exit_reason(leash: socket.socket) -> Exception:
    """Why a forked process has not answered."""
    sent = await asyncio.get_running_loop().sock_recv(leash, EXIT.size)
    if len(sent) < EXIT.size:
        return Lost()
    (exit_code,) = EXIT.unpack(sent)
    if exit_code == -signal.SIGXCPU:
        return ExtractionError(OUT_OF_CPU)
    by_itself = exit_code >= 0 or exit_code in CRASHES  # without an answer, for which there was no memory
    return ExtractionError(OUT_OF_MEMORY if by_itself else INTERRUPTED)
