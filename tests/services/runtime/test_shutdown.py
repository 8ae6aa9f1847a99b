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
def server() -> Iterator[asyncio.Event]:
    """Stands for the server's own handler of SIGTERM: set when the signal is handed on to it."""
    asked = asyncio.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    yield asked
    signal.signal(signal.SIGTERM, before)


def without_turns() -> Any:
    """What runs the turns, and has none."""

    async def drain(seconds: float) -> None:
        pass

    return SimpleNamespace(runs={}, drain=drain)


async def test_second_signal_ends_drain(server: asyncio.Event) -> None:
    """An erasure is waited for as long as turns are, and cancelled by a second signal."""
    tasks, before = TaskOwner(), signal.getsignal(signal.SIGTERM)
    erasure = tasks.spawn(asyncio.Event().wait())
    with Shutdown(without_turns(), tasks, 3600) as shutdown:
        assert shutdown.seconds_left == 3600
        signal.raise_signal(signal.SIGTERM)
        await server.wait()
        assert not erasure.done()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait([erasure])
        assert erasure.cancelled()
        assert shutdown.seconds_left == 0
    assert signal.getsignal(signal.SIGTERM) is before


async def test_drain_has_one_deadline(server: asyncio.Event) -> None:
    """Turns and erasures share the seconds of the drain."""
    with Shutdown(without_turns(), TaskOwner(), 0.01) as shutdown:
        signal.raise_signal(signal.SIGTERM)
        await server.wait()
        while shutdown.seconds_left:  # noqa: ASYNC110  only the clock moves it
            await asyncio.sleep(0)
