"""The forked process that reads one document: its limits, the request and the answer."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
import traceback
from typing import NoReturn

import orjson

from app.rag.child_process import frame
from app.rag.extraction.errors import CORRUPT, OUT_OF_MEMORY, ExtractionError
from app.rag.extraction.format import ReadOptions
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document
from app.rag.sandbox.protocol import PROGRESS, REQUEST, document_frames, failure_frame

MAX_DESCRIPTORS = 64
PROGRESS_SECONDS = 0.2
"""Shortest time between two progress frames."""
SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def run(data: int, lifeline: int) -> NoReturn:
    """Answer the request on the socket with descriptor `data`, then end the process, which closes `lifeline`."""
    os.dup2(data, 0)
    os.dup2(lifeline, 3)
    os.closerange(4, 1024)
    try:
        answer(socket.socket(fileno=0))
    finally:
        os._exit(0)


def answer(connection: socket.socket) -> None:
    """Read a request, apply its limits to this process, and send the document or the failure."""
    with connection.makefile("rb") as file:
        option_bytes, content_bytes = REQUEST.unpack(file.read(REQUEST.size))
        options = orjson.loads(file.read(option_bytes))
        limits = Limits(**options["limits"])
        confine(limits)
        content = file.read(content_bytes)
    failure, cause = None, ""
    try:
        report, read_options = ProgressReporter(connection).report, ReadOptions(**options["read"])
        document = extract_document(content, options["media_type"], limits, report, read_options)
        for each in document_frames(document):
            connection.sendall(each)
    except ExtractionError as error:
        failure = error.failure
    except MemoryError:
        failure = OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001  libraries raise anything on files that are made to break them
        failure, cause = CORRUPT, cause_of(error)
    if failure is not None:  # only after `except` is the traceback's memory free, which the answer may need
        connection.sendall(failure_frame(failure, cause))


def cause_of(error: Exception) -> str:
    """Describe an error by its type and place, without its message, which may quote the document."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {last.filename}:{last.lineno}"


def confine(limits: Limits) -> None:
    """Limit this process's resources to those of reading a document, and end it with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    sys.dont_write_bytecode = True
    for limited, soft, hard in (
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        # SIGXCPU at the first limit, SIGKILL at the second.
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),
        (resource.RLIMIT_NOFILE, MAX_DESCRIPTORS, MAX_DESCRIPTORS),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
    ):
        current = resource.getrlimit(limited)[1]
        most = hard if current == resource.RLIM_INFINITY else min(hard, current)
        resource.setrlimit(limited, (min(soft, most), most))


class ProgressReporter:
    """Sends progress frames, one every `PROGRESS_SECONDS` at most, and one at the end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._next = 0.0

    def report(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + PROGRESS_SECONDS
            self._connection.sendall(frame(PROGRESS, orjson.dumps([done, total])))
