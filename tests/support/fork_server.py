"""Fork server for processes of Parley: a fork begins with the modules loaded, which takes other starts two seconds.

Its standard input is a socket on which every message brings four descriptors: of the process's standard input, output
and error, and a socket for the request, one line of JSON. On that an attendant sends a line with the number of the
process, and one with its exit status as of `subprocess.Popen`. The server ends when its input is closed.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import types
from collections.abc import Sequence
from typing import Any, NoReturn

import aiosqlite
import alembic.command
import alembic.ddl.postgresql
import alembic.ddl.sqlite
import asyncpg
import openai

from app import cli
from app.main import create_app
from app.serving.server import serve as serve_requests

PRELOADED = (aiosqlite, alembic, asyncpg, openai, create_app, serve_requests)
"""What a process imports only when it is needed."""
DESCRIPTORS = 4


def serve(control: socket.socket) -> None:
    """Fork an attendant for every message, until there are no more."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, DESCRIPTORS)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            attend(descriptors)
        for each in descriptors:
            os.close(each)


def attend(descriptors: Sequence[int]) -> NoReturn:
    """Fork the process, and report its number and its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, connection = descriptors
    link = socket.socket(fileno=connection)
    with link.makefile() as lines:
        request = json.loads(lines.readline())
    pid = os.fork()
    if pid == 0:
        link.close()
        run(streams, **request)
    for each in streams:
        os.close(each)
    link.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    link.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    sys.exit()


def run(streams: Sequence[int], arguments: list[str], directory: str, environment: dict[str, Any]) -> NoReturn:
    """Become a process of its own group that runs the console command."""
    os.setsid()
    for number, each in enumerate(streams):
        os.dup2(each, number)
    os.closerange(len(streams), max(*streams, DESCRIPTORS) + 2)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["parley", *arguments]
    sys.modules["__main__"] = types.ModuleType("__main__")  # which processes that it spawns would load
    sys.exit(cli.main())


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaps attendants
    gc.freeze()
    serve(socket.socket(fileno=sys.stdin.fileno()))
