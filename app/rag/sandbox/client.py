"""Client of the sandbox: reads documents in processes of their own, forked by a server that has loaded the libraries.

A fresh interpreter would take half a second for each document, a fork takes some milliseconds. The fork server of
`multiprocessing` is not used: it imports the service's main module into every process that it forks, and unpickles
their results.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec

import orjson

from app.domain.documents import ExtractedDocument
from app.rag.child_process import import_path, module_command, read_frame
from app.rag.extraction.errors import CORRUPT, INTERRUPTED, OUT_OF_CPU, OUT_OF_MEMORY, OUT_OF_TIME, ExtractionError
from app.rag.extraction.format import ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.registry import libraries
from app.rag.sandbox.protocol import EXIT, PROGRESS, REQUEST, ResultReader

LIBRARIES = tuple(each.partition(".")[0] for each in (*libraries(), "numpy", "snowballstemmer", "tokenizers"))
FORK_SERVER = "app.rag.sandbox.fork_server"
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE}
"""Exit codes of a process that a library has ended, as it does if an allocation fails."""
PIECE_BYTES = 1 << 18
"""Bytes of a document per write: the transport would copy larger pieces within its buffer."""
END_SECONDS = 5.0
"""Time for the fork server to end before it is killed."""


def installed() -> bool:
    """Return whether the libraries of the extra `documents` are installed; none of them is imported."""
    return all(find_spec(each) is not None for each in LIBRARIES)


class ServerLost(Exception):
    """The fork server has ended, and with it all processes that it had forked."""


class DocumentReader:
    """Reads documents, `concurrency` at a time. The fork server starts with the first and ends after `idle_seconds`."""

    def __init__(self, limits: Limits | None = None, *, concurrency: int = 2, idle_seconds: float = 60) -> None:
        self.capacity = asyncio.Semaphore(concurrency)
        """Acquired while a document is read."""
        self._limits = limits or Limits()
        self._idle_seconds = idle_seconds
        self._starting = asyncio.Lock()
        self._server: ForkServerProcess | None = None
        self._closed = False

    async def read(
        self,
        content: bytes,
        media_type: str,
        report: ReportProgress | None = None,
        *,
        keep_links: bool = False,
        name: str = "",
        charset: str = "",
    ) -> ExtractedDocument:
        """Extract a document. If the caller is cancelled, the process that reads it is killed.

        The last three are those of `ReadOptions`.

        Raises:
            ExtractionError: the document cannot be read, or, if retryable, not now.
        """
        options = ReadOptions(keep_links, name, charset)
        async with self.capacity:
            for _ in range(2):  # a server that has just gone idle, or was killed, is started again once
                try:
                    return await self._read(content, media_type, report, options)
                except ServerLost:
                    continue
        raise ExtractionError(INTERRUPTED)

    async def aclose(self) -> None:
        """End the server and all its processes; waiting callers get an `ExtractionError`."""
        async with self._starting:
            self._closed = True
            if self._server is not None:
                await self._server.end()

    async def _read(
        self, content: bytes, media_type: str, report: ReportProgress | None, read: ReadOptions
    ) -> ExtractedDocument:
        server = await self._running_server()
        with socket_pair() as (data, worker_data), socket_pair() as (leash, worker_leash):
            try:
                server.fork(worker_data, worker_leash)
                async with asyncio.timeout(self._limits.wall_seconds):
                    request = {"media_type": media_type, "limits": asdict(self._limits), "read": asdict(read)}
                    result = ResultReader(self._limits)
                    document = await exchange(data, orjson.dumps(request), content, result, report)
                    if document is None:
                        raise await exit_reason(leash)
            except ServerLost:
                server.ended = True
                raise
            except TimeoutError as error:
                raise ExtractionError(OUT_OF_TIME) from error
        return document

    async def _running_server(self) -> ForkServerProcess:
        """Return the server, started if there is none."""
        async with self._starting:
            if self._closed:
                raise ExtractionError(INTERRUPTED)
            if self._server is not None and self._server.ended:
                await self._server.end()
                self._server = None
            if self._server is None:
                self._server = await ForkServerProcess.start(self._idle_seconds)
            return self._server


class ForkServerProcess:
    """The process of `app.rag.sandbox.fork_server`."""

    def __init__(self, process: Process, control: socket.socket) -> None:
        self.ended = False
        """True once a caller has found that the process no longer runs."""
        self._process = process
        self._control = control

    @classmethod
    async def start(cls, idle_seconds: float) -> ForkServerProcess:
        """Start a server, whose environment has nothing of this process's but the import path."""
        control, server_control = socket.socketpair()
        try:
            with server_control:
                process = await asyncio.create_subprocess_exec(
                    *module_command(FORK_SERVER, str(idle_seconds)),
                    stdin=server_control.fileno(),
                    stdout=DEVNULL,
                    stderr=DEVNULL,
                    env={"PYTHONPATH": import_path(), "TOKENIZERS_PARALLELISM": "false"},
                    cwd="/",
                    start_new_session=True,
                )
        except BaseException:
            control.close()
            raise
        control.setblocking(False)
        return cls(process, control)

    def fork(self, data: socket.socket, leash: socket.socket) -> None:
        """Request a worker that gets these ends of two connections, and close them here.

        Raises:
            ServerLost: the server has ended.
        """
        try:
            socket.send_fds(self._control, [b"f"], [data.fileno(), leash.fileno()])
        except OSError as error:
            raise ServerLost from error
        finally:
            data.close()
            leash.close()

    async def end(self) -> None:
        """End the server and all that it forked; return when it has ended."""
        self._control.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


@contextlib.contextmanager
def socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open a connection; yield this process's end, which does not block, and the other. Both are closed at the end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def exchange(
    data: socket.socket, options: bytes, content: bytes, result: ResultReader, report: ReportProgress | None
) -> ExtractedDocument | None:
    """Send a document to a worker and read the result; None if the worker ends before it is complete."""
    reader, writer = await asyncio.open_unix_connection(sock=data)
    try:
        writer.write(REQUEST.pack(len(options), len(content)) + options)
        for place in range(0, len(content), PIECE_BYTES):
            writer.write(content[place : place + PIECE_BYTES])
            await writer.drain()
        while result.document is None:
            kind, payload = await read_frame(reader)
            result.feed(kind, payload)
            if report is not None and kind == PROGRESS:
                report(*result.progress)
    except (ConnectionError, asyncio.IncompleteReadError):
        return None
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # the document has taken the worker over
        raise ExtractionError(CORRUPT) from error
    finally:
        writer.transport.abort()
    return result.document


async def exit_reason(leash: socket.socket) -> Exception:
    """Return the error for a worker that has ended without an answer, by its exit code."""
    received = await asyncio.get_running_loop().sock_recv(leash, EXIT.size)
    if len(received) < EXIT.size:
        return ServerLost()
    (exit_code,) = EXIT.unpack(received)
    if exit_code == -signal.SIGXCPU:
        return ExtractionError(OUT_OF_CPU)
    by_itself = exit_code >= 0 or exit_code in CRASHES  # it had no memory left for an answer
    return ExtractionError(OUT_OF_MEMORY if by_itself else INTERRUPTED)
