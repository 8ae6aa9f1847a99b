"""What a forked process does: reads one document within limits, and tells what it found."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
import traceback

import orjson

from app.rag.extraction.errors import CORRUPT, OUT_OF_MEMORY, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document
from app.rag.sandbox.protocol import PROGRESS, REQUEST, failure_frame, frame, frames_of

DESCRIPTORS = 64
PROGRESS_SECONDS = 0.2
SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def serve(connection: socket.socket) -> None:
    """Answers the one request of a connection."""
    with connection.makefile("rb") as file:
        asked_bytes, content_bytes = REQUEST.unpack(file.read(REQUEST.size))
        asked = orjson.loads(file.read(asked_bytes))
        limits = Limits(**asked["limits"])
        confine(limits)
        content = file.read(content_bytes)
    failure, cause = None, ""
    try:
        document = extract_document(content, asked["media_type"], limits, Reporter(connection).report)
        for each in frames_of(document):
            connection.sendall(each)
    except ExtractionError as error:
        failure = error.failure
    except MemoryError:
        failure = OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001  libraries fail in every way on files that are made to break them
        failure, cause = CORRUPT, cause_of(error)
    if failure is not None:  # only here is what a traceback held given back, so that there is memory for the answer
        connection.sendall(failure_frame(failure, cause))


def cause_of(error: Exception) -> str:
    """What failed, and where, without what the document says."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {last.filename}:{last.lineno}"


def confine(limits: Limits) -> None:
    """Takes from this process what reading a document does not need; it dies with the one that forked it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    sys.dont_write_bytecode = True
    for what, soft, hard in (
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),  # SIGXCPU at one, SIGKILL at the other
        (resource.RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
    ):
        given = resource.getrlimit(what)[1]
        most = hard if given == resource.RLIM_INFINITY else min(hard, given)
        resource.setrlimit(what, (min(soft, most), most))


class Reporter:
    """Tells how far reading is, a few times a second at most."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._next = 0.0

    def report(self, done: int, total: int) -> None:
        """Tells that `done` of `total` pages are read."""
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + PROGRESS_SECONDS
            self._connection.sendall(frame(PROGRESS, orjson.dumps([done, total])))


def run(data: int, life: int) -> None:
    """Serves the connection at descriptor `data`, and ends the process; that alone closes `life`."""
    os.dup2(data, 0)
    os.dup2(life, 3)
    os.closerange(4, 1024)
    try:
        serve(socket.socket(fileno=0))
    finally:
        os._exit(0)
