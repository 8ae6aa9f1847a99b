"""Adapters at the process's own limit of open files."""

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
from tests.support.routing import RouterHarness, error_of, run_with_adapter


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open no more files within the block."""
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

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        gate = asyncio.Event()
        provider.reply("Hi", gate)
        first = asyncio.create_task(complete())
        await provider.wait_calls(1)  # on the one connection that there is
        with no_more_files():
            for _ in range(FAILURE_THRESHOLD):
                error = await error_of(complete)
                assert isinstance(error, Overloaded)
                assert harness.outcomes == [(name, "overloaded")]
        gate.set()
        await first
        await complete()
        assert harness.outcomes == [(name, "completed")]

    run_with_adapter(name, scenario)
