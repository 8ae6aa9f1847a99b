"""The limit of open files, which sockets are too: raised at the start, and recognised where it is met."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket

MOST_OPEN_FILES = 2**20
"""Limit for an unlimited process: a system may grant a thousand times as many, which nothing here needs."""


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one; return the limit that holds."""
    soft, hard = (limited(each) for each in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower limit than the one that it names
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return limited(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def limited(files: int) -> int:
    """A limit of open files as a number, also where there is none."""
    return MOST_OPEN_FILES if files == resource.RLIM_INFINITY else min(files, MOST_OPEN_FILES)


def out_of_files(error: BaseException | None) -> bool:
    """Return whether an error comes from a limit of open files, this process's or the system's."""
    while error is not None:
        if isinstance(error, socket.gaierror):  # which does not say why a name could not be looked up
            return not may_open_files()
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            return True
        error = error.__cause__ or error.__context__
    return False


def may_open_files() -> bool:
    """Return whether one more file can be opened now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True
