"""Retries of a start while the database is not ready."""

from __future__ import annotations

import logging

import pytest

from app.db.startup import when_ready
from app.errors import DatabaseUnavailable


class Step:
    """Fails so many times before it is done."""

    def __init__(self, failures: int, *, transient: bool = True) -> None:
        self.calls = 0
        self._failures = failures
        self._transient = transient

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise DatabaseUnavailable(reason="starting up (57P03)", transient=self._transient)
        return "done"


async def test_a_database_that_starts_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """A step is tried until the database is ready for it; one line says why it is waited for."""
    step = Step(2)
    with caplog.at_level(logging.WARNING):
        assert await when_ready(step) == "done"
    assert step.calls == 3
    assert [record.getMessage() for record in caplog.records] == ["waiting for the database: starting up (57P03)"]


async def test_the_wait_has_an_end() -> None:
    """When its time is over the start ends with what the database said last."""
    step = Step(1)
    with pytest.raises(DatabaseUnavailable) as caught:
        await when_ready(step, seconds=0)
    assert (step.calls, caught.value.reason) == (1, "starting up (57P03)")


async def test_what_does_not_pass_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Where somebody has to change something the start ends at once."""
    step = Step(1, transient=False)
    with pytest.raises(DatabaseUnavailable):
        await when_ready(step)
    assert (step.calls, caplog.records) == (1, [])
