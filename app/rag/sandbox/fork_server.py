"""Fork server for document readers: `python -m app.rag.sandbox.fork_server IDLE_SECONDS`.

Its standard input is a socket on which every message brings two further sockets: one for the forked process, which
carries the document and the result, and a leash. When the leash is closed the forked process is killed; when that
process has ended, its exit code is sent over the leash. So no process outlives the service, however the service ends.
The server ends after IDLE_SECONDS without a document.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from app.rag.extraction.registry import preload
from app.rag.sandbox.protocol import EXIT
from app.rag.sandbox.worker import run
from app.rag.tokenizer import tokenizer

NICENESS = 10


@dataclass(frozen=True, slots=True)
class Worker:
    """A forked process, the leash by which the service ends it, and a lifeline that closes when it has ended."""

    pid: int
    leash: socket.socket
    lifeline: socket.socket


class ForkServer:
    """Forks, kills and reaps workers, on one thread that waits for all its sockets at once."""

    def __init__(self, control: socket.socket, idle_seconds: float) -> None:
        self._control = control
        self._idle_seconds = idle_seconds
        self._workers: dict[int, Worker] = {}
        """By the descriptors of both leash and lifeline."""
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Serve until the service closes the control socket, or no document has come for the idle time."""
        try:
            while ready := self._poll.poll(None if self._workers else self._idle_seconds * 1000):
                for descriptor, _ in ready:
                    if descriptor == self._control.fileno():
                        self._fork()
                    elif descriptor in self._workers:
                        self._kill_or_reap(descriptor)
        except EOFError:
            pass
        finally:
            for worker in set(self._workers.values()):
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)

    def _fork(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if not message:
            raise EOFError
        data, leash = (socket.socket(fileno=each) for each in descriptors)
        lifeline, worker_lifeline = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            run(data.fileno(), worker_lifeline.fileno())
        data.close()
        worker_lifeline.close()
        self._poll.register(leash, 0)  # POLLHUP, for a closed other end, is reported for any mask
        self._poll.register(lifeline, select.POLLIN)
        self._workers[leash.fileno()] = self._workers[lifeline.fileno()] = Worker(pid, leash, lifeline)

    def _kill_or_reap(self, descriptor: int) -> None:
        """Kill the worker whose leash was closed, or reap that whose lifeline was."""
        worker = self._workers[descriptor]
        if descriptor == worker.leash.fileno():
            self._poll.unregister(descriptor)
            os.kill(worker.pid, signal.SIGKILL)  # it is not reaped yet, so no other process has its id
            return
        exit_code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        with contextlib.suppress(OSError):
            worker.leash.send(EXIT.pack(exit_code))
        for end in (worker.leash, worker.lifeline):
            del self._workers[end.fileno()]
            with contextlib.suppress(KeyError):
                self._poll.unregister(end)
            end.close()


def main() -> None:
    """Serve the socket at standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the service ends this process by closing the socket
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")  # the first process to kill when memory runs out
    preload()
    tokenizer()
    gc.freeze()  # forked processes share what is loaded, and no collection copies its pages
    ForkServer(socket.socket(fileno=os.dup(0)), float(sys.argv[1])).serve()


if __name__ == "__main__":
    main()
