"""The limit of open files, sockets included: raised at the start, and recognised in errors."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket

MAX_OPEN_FILES = 2**20
"""Number for an unlimited process, and the highest that is used of a limit."""


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one; return the limit in force."""
    soft, hard = (bounded_limit(each) for each in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):  # macOS reports a higher limit than it grants
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return bounded_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def bounded_limit(files: int) -> int:
    """Return a limit of open files as a number up to `MAX_OPEN_FILES`; that number for no limit."""
    return MAX_OPEN_FILES if files == resource.RLIM_INFINITY else min(files, MAX_OPEN_FILES)


def out_of_files(error: BaseException | None) -> bool:
    """Return whether an error comes from a limit of open files, this process's or the system's."""
    while error is not None:
        if isinstance(error, socket.gaierror):  # it hides the reason why a name does not resolve
            return not can_open_file()
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            return True
        error = error.__cause__ or error.__context__
    return False


def can_open_file() -> bool:
    """Return whether one more file can be opened now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True
