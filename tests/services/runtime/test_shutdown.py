"""Signals begin and end the drain of a process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from app.services.runtime.task_owner import TaskOwner
from app.shutdown import Shutdown


@pytest.fixture
def server_signalled() -> Iterator[asyncio.Event]:
    """The server's own handler of SIGTERM, as an event that is set when it is called."""
    signalled = asyncio.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: signalled.set())
    yield signalled
    signal.signal(signal.SIGTERM, before)


def idle_executor() -> Any:
    """Return an executor without turns."""

    async def drain(seconds: float) -> None:
        pass

    return SimpleNamespace(runs={}, drain=drain)


async def test_second_signal_ends_drain(server_signalled: asyncio.Event) -> None:
    """An erasure is waited for as long as turns are, and cancelled by a second signal."""
    tasks, before = TaskOwner(), signal.getsignal(signal.SIGTERM)
    erasure = tasks.spawn(asyncio.Event().wait())
    with Shutdown(idle_executor(), tasks, 3600) as shutdown:
        assert shutdown.seconds_left == 3600
        signal.raise_signal(signal.SIGTERM)
        await server_signalled.wait()
        assert not erasure.done()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait([erasure])
        assert erasure.cancelled()
        assert shutdown.seconds_left == 0
    assert signal.getsignal(signal.SIGTERM) is before


async def test_drain_has_one_deadline(server_signalled: asyncio.Event) -> None:
    """Turns and erasures share the seconds of the drain."""
    with Shutdown(idle_executor(), TaskOwner(), 0.01) as shutdown:
        signal.raise_signal(signal.SIGTERM)
        await server_signalled.wait()
        while shutdown.seconds_left:  # noqa: ASYNC110  only the clock moves it
            await asyncio.sleep(0)
