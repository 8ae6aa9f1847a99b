from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Has SIGTERM and SIGINT end the process at once within the block, where nothing is open that needs closing.

    That holds for the first process of a container too, for which the system ignores a signal that nobody handles.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    taken = {each: handler for each, handler in before.items() if handler not in {None, signal.SIG_IGN}}
    for each in taken:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each, handler in taken.items():
            signal.signal(each, handler)


def end(number: int, _frame: FrameType | None) -> None:
    """Ends the process by a signal, as if nobody handled it; else with the status that a shell gives to that."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)
