"""Fork server for document readers: `python -m app.rag.sandbox.fork_server SECONDS`.

Its standard input is a socket on which every message brings two others: one for the forked process, on which document
and result go, and a leash. When the leash is let go the forked process is killed; when that has ended, its exit code is
sent over the leash. So nothing outlives the service, however it ends. Without work for SECONDS this process ends.
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
class Job:
    """A forked process, and what tells that it is to end or has ended."""

    pid: int
    leash: socket.socket
    life: socket.socket


class ForkServer:
    """Forks, kills and reaps. One thread; it never waits for anything but all its descriptors at once."""

    def __init__(self, control: socket.socket, idle_seconds: float) -> None:
        self._control = control
        self._idle = idle_seconds
        self._jobs: dict[int, Job] = {}
        """By the descriptors of both leash and life."""
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Serves until the service has gone, or has had no document for long."""
        try:
            while ready := self._poll.poll(None if self._jobs else self._idle * 1000):
                for descriptor, _ in ready:
                    if descriptor == self._control.fileno():
                        self._begin()
                    elif descriptor in self._jobs:
                        self._look_after(descriptor)
        except EOFError:
            pass
        finally:
            for job in set(self._jobs.values()):
                os.kill(job.pid, signal.SIGKILL)
                os.waitpid(job.pid, 0)

    def _begin(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if not message:
            raise EOFError
        data, leash = (socket.socket(fileno=each) for each in descriptors)
        life, its_life = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            run(data.fileno(), its_life.fileno())
        data.close()
        its_life.close()
        self._poll.register(leash, 0)  # it tells that the other end has gone, whatever is asked for
        self._poll.register(life, select.POLLIN)
        self._jobs[leash.fileno()] = self._jobs[life.fileno()] = Job(pid, leash, life)

    def _look_after(self, descriptor: int) -> None:
        job = self._jobs[descriptor]
        if descriptor == job.leash.fileno():
            self._poll.unregister(descriptor)
            os.kill(job.pid, signal.SIGKILL)  # it was not waited for yet, so the number is still its own
            return
        exit_code = os.waitstatus_to_exitcode(os.waitpid(job.pid, 0)[1])
        with contextlib.suppress(OSError):
            job.leash.send(EXIT.pack(exit_code))
        for end in (job.leash, job.life):
            del self._jobs[end.fileno()]
            with contextlib.suppress(KeyError):
                self._poll.unregister(end)
            end.close()


def main() -> None:
    """Serves the socket at standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the service says when it is over, by closing the socket
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")  # of all processes this may go first
    preload()
    tokenizer()
    gc.freeze()  # forked processes share what is loaded, and do not copy it to look for garbage
    ForkServer(socket.socket(fileno=os.dup(0)), float(sys.argv[1])).serve()


if __name__ == "__main__":
    main()
