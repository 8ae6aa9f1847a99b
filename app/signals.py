from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def exit_on_signal() -> Iterator[None]:
    """End the process at once on SIGTERM or SIGINT within the block, where nothing is open that needs closing.

    This includes the first process of a container, for which the system ignores signals without a handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    replaced = {each: handler for each, handler in before.items() if handler not in {None, signal.SIG_IGN}}
    for each in replaced:
        signal.signal(each, exit_by_signal)
    try:
        yield
    finally:
        for each, handler in replaced.items():
            signal.signal(each, handler)


def exit_by_signal(number: int, _frame: FrameType | None) -> None:
    """End the process by the signal's default action, or else with the exit status that shells use for it."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)
