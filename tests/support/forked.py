"""Processes of Parley that are forked from one with its modules loaded, with the interface of `subprocess.Popen`."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

SERVER = str(Path(__file__).with_name("fork_server.py"))


@functools.cache
def fork_server() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start the fork server of this process, which ends with it."""
    control, theirs = socket.socketpair()
    with theirs:
        return control, subprocess.Popen([sys.executable, "-P", SERVER], stdin=theirs.fileno(), start_new_session=True)


class ForkedProcess:
    """A process that runs `parley` with some arguments, with its standard error to read from."""

    def __init__(
        self, arguments: Sequence[str], directory: Path, environment: Mapping[str, str], output: int | None = None
    ) -> None:
        self.args = ("parley", *arguments)
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        empty = os.open(os.devnull, os.O_RDWR)
        with theirs:
            streams = (empty, empty if output is None else output, writing)
            socket.send_fds(fork_server()[0], [b"f"], [*streams, theirs.fileno()])
        os.close(writing)
        os.close(empty)
        self.stderr = os.fdopen(reading, encoding="utf-8")
        self._lines = ours.makefile("rw", encoding="utf-8")
        ours.close()
        request = {"arguments": list(arguments), "directory": str(directory), "environment": dict(environment)}
        print(json.dumps(request), file=self._lines, flush=True)
        self.pid = int(self._lines.readline())
        self._status: Future[int] = Future()
        threading.Thread(target=self._await_status, daemon=True).start()

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        return self._status.result() if self._status.done() else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status.

        Raises:
            TimeoutError: the process has not ended within so many seconds.
        """
        return self._status.result(timeout)

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _await_status(self) -> None:
        with self._lines as lines:
            line = lines.readline()
        self._status.set_result(int(line) if line else -signal.SIGKILL)
