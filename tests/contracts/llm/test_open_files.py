"""What adapters make of the service's own want of open files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import Iterator
from typing import Any

from app.errors import Overloaded
from app.llm.circuit_breaker import FAILURE_THRESHOLD
from tests.support.provider import FakeProvider
from tests.support.routing import Asked, asked, failing


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """A time in which this process cannot open anything."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, hard))
        with contextlib.suppress(OSError):
            while True:  # what was free below it
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in taken:
            os.close(each)


def test_file_limit_is_overloaded(name: str) -> None:
    """If the process can open no connection the turn is `overloaded`, and the provider's breaker stays closed."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        gate = asyncio.Event()
        provider.reply("Hi", gate)
        first = asyncio.create_task(ask())
        await provider.wait_calls(1)  # on the one connection that there is
        with no_more_files():
            for _ in range(FAILURE_THRESHOLD):
                error = await failing(ask)
                assert isinstance(error, Overloaded)
                assert router.outcomes == [(name, "overloaded")]
        gate.set()
        await first
        await ask()
        assert router.outcomes == [(name, "completed")]

    asked(name, scenario)
