"""Retries of a start while the database is not ready."""

from __future__ import annotations

import logging

import pytest

from app.db.startup import when_ready
from app.errors import DatabaseUnavailable


class Step:
    """A step of a start that fails a number of times before it succeeds."""

    def __init__(self, failures: int, *, transient: bool = True) -> None:
        self.calls = 0
        self._failures = failures
        self._transient = transient

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise DatabaseUnavailable(reason="starting up (57P03)", transient=self._transient)
        return "done"


async def test_start_waits_for_the_database(caplog: pytest.LogCaptureFixture) -> None:
    """A step is retried until the database is ready; one log line says why the start waits."""
    step = Step(2)
    with caplog.at_level(logging.WARNING):
        assert await when_ready(step) == "done"
    assert step.calls == 3
    assert [record.getMessage() for record in caplog.records] == ["waiting for the database: starting up (57P03)"]


async def test_wait_times_out() -> None:
    """When the time is over the start ends with the last error of the database."""
    step = Step(1)
    with pytest.raises(DatabaseUnavailable) as caught:
        await when_ready(step, seconds=0)
    assert (step.calls, caught.value.reason) == (1, "starting up (57P03)")


async def test_permanent_error_ends_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """An error that an operator has to correct ends the start at once."""
    step = Step(1, transient=False)
    with pytest.raises(DatabaseUnavailable):
        await when_ready(step)
    assert (step.calls, caplog.records) == (1, [])
