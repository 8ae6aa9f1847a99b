from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.errors import DatabaseUnavailable
from app.services.runtime.polling import Poller, Supervisor
from app.services.runtime.timings import Timings
from tests.support.clock import run

TIMINGS = Timings()
ERRORS = [RuntimeError("a bug"), KeyError("name"), DatabaseUnavailable(), asyncio.CancelledError(), TimeoutError()]


@asynccontextmanager
async def supervised(*pollers: Poller) -> AsyncIterator[Supervisor]:
    """Run pollers within the block, supervised by the event loop's clock."""
    supervisor = Supervisor(TIMINGS, now=asyncio.get_running_loop().time)
    supervisor.start(pollers)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


class Rounds:
    """A poller's rounds, which fail while an error is set, with the moments at which they began."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.began_at: list[float] = []
        self.finished = asyncio.Event()

    async def __call__(self) -> None:
        self.began_at.append(asyncio.get_running_loop().time())
        if self.error is not None:
            raise self.error
        self.finished.set()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_poller_survives_any_error(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """After a round that raises the next one runs; an error that is no outage is logged with its traceback."""

    async def main() -> None:
        rounds = Rounds(error)
        async with supervised(Poller("work", rounds, interval=1)) as supervisor:
            await asyncio.sleep(5)
            rounds.error = None
            await rounds.finished.wait()
            assert supervisor.not_running() == []
        assert len(rounds.began_at) > 2

    run(main())
    expected = isinstance(error, DatabaseUnavailable)
    assert all((record.exc_info is None) == expected for record in caplog.records)
    assert all("work" in repr(vars(record)) for record in caplog.records)


def test_failed_rounds_back_off() -> None:
    """The pause doubles with each failure up to its limit, and is the usual one again after a success."""

    async def main() -> None:
        rounds = Rounds(RuntimeError())
        async with supervised(Poller("work", rounds, interval=0.5, longest_backoff=4)):
            await asyncio.sleep(20)
            rounds.error = None
            await rounds.finished.wait()
            await asyncio.sleep(1.2)
        pauses = [round(after - before, 3) for before, after in zip(rounds.began_at, rounds.began_at[1:], strict=False)]
        assert pauses[:6] == [0.5, 1, 2, 4, 4, 4]
        assert pauses[-2:] == [0.5, 0.5]

    run(main())


def test_rare_poller_retries_soon() -> None:
    """A poller of a long interval retries after a short pause, which a wakeup does not shorten."""

    async def main() -> None:
        rounds = Rounds(DatabaseUnavailable())
        poller = Poller("work", rounds, interval=600)
        async with supervised(poller):
            await asyncio.sleep(0.1)
            poller.wakeup.set()
            await asyncio.sleep(200)
        pauses = [round(after - before, 3) for before, after in zip(rounds.began_at, rounds.began_at[1:], strict=False)]
        assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]

    run(main())


def test_wakeup_starts_a_round() -> None:
    """A wakeup starts a round at once."""

    async def main() -> None:
        rounds = Rounds()
        poller = Poller("work", rounds, interval=600)
        async with supervised(poller):
            await rounds.finished.wait()
            rounds.finished.clear()
            poller.wakeup.set()
            await rounds.finished.wait()
        assert rounds.began_at == [0, 0]

    run(main())


def test_cancelled_task_restarts() -> None:
    """A poller whose task is cancelled by mistake is reported as stalled and runs again a moment later."""

    async def main() -> None:
        rounds = Rounds()
        async with supervised(Poller("work", rounds, interval=600)) as supervisor:
            await rounds.finished.wait()
            rounds.finished.clear()
            [task] = [each for each in asyncio.all_tasks() if each.get_name() == "work"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert supervisor.not_running() == ["work"]
            await rounds.finished.wait()
            assert supervisor.not_running() == []
        assert rounds.began_at == [0, TIMINGS.poller_restart]

    run(main())


def test_hanging_round_times_out() -> None:
    """A round that hangs is cancelled after its time; until one completes the poller is reported as stalled."""

    async def main() -> None:
        hangs, ended = True, asyncio.Event()

        async def work() -> None:
            if hangs:
                await asyncio.Event().wait()
            ended.set()

        async with supervised(Poller("work", work, interval=1)) as supervisor:
            await asyncio.sleep(TIMINGS.longest_round - 1)
            assert supervisor.not_running() == []
            await asyncio.sleep(2)
            assert supervisor.not_running() == ["work"]
            hangs = False
            await ended.wait()
            assert supervisor.not_running() == []

    run(main())


@pytest.mark.parametrize(("required", "named"), [(True, ["work"]), (False, [])])
def test_failing_poller_is_stalled(required: bool, named: list[str]) -> None:
    """A required poller whose rounds have failed for long is reported as stalled; others only retry."""

    async def main() -> None:
        poller = Poller("work", Rounds(RuntimeError()), interval=1, bounded=False, required=required)
        async with supervised(poller) as supervisor:
            await asyncio.sleep(2 * TIMINGS.longest_round)
            assert supervisor.not_running() == named

    run(main())


def test_round_without_a_timeout() -> None:
    """A round without a time limit is neither cancelled nor reported as stalled."""

    async def main() -> None:
        finished = asyncio.Event()

        async def work() -> None:
            await asyncio.sleep(3600)
            finished.set()

        poller = Poller("work", work, interval=1, bounded=False, required=False)
        async with supervised(poller) as supervisor:
            await asyncio.sleep(3599)
            assert supervisor.not_running() == []
            await finished.wait()

    run(main())


def test_outage_log_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    """All pollers together log an outage once in ten seconds, without a traceback."""

    async def main() -> None:
        pollers = [Poller(f"work {n}", Rounds(DatabaseUnavailable()), interval=0.5) for n in range(10)]
        async with supervised(*pollers):
            await asyncio.sleep(3 * TIMINGS.outage_log - 1)

    run(main())
    assert [(record.levelno, record.exc_info) for record in caplog.records] == [(logging.WARNING, None)] * 3


def test_stop_cancels_rounds() -> None:
    """When the supervisor stops no round continues or begins."""

    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with supervised(Poller("work", work, interval=1)):
            await begun.wait()
            begun.clear()
        assert ended.is_set()
        await asyncio.sleep(10 * TIMINGS.poller_restart)
        assert not begun.is_set()

    run(main())


@pytest.mark.parametrize("steps", range(6))
def test_stop_after_a_wakeup(steps: int) -> None:
    """A stop ends a poller at any moment between its wakeup and its next round."""

    async def main() -> None:
        rounds = Rounds()
        poller = Poller("work", rounds, interval=1_000)
        supervisor = Supervisor(TIMINGS, now=asyncio.get_running_loop().time)
        supervisor.start([poller])
        await rounds.finished.wait()
        await asyncio.sleep(1)
        poller.wakeup.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await supervisor.stop()

    run(main())
