from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from app.db import usage
from app.db.database import Database
from app.db.transaction import Transaction
from app.domain.ids import now_ms
from app.domain.quota import DAY_MS, quota_exceeded
from app.errors import DatabaseUnavailable
from app.services.replies.turn_run import TurnRun


class DailyAccount:
    """The tokens that one user has spent today, as far as this process knows."""

    def __init__(self) -> None:
        self.settled = 0
        """Tokens of attempts that have ended."""
        self.live = 0
        """Estimated tokens of the turns at work in this process."""
        self.turns = 0
        """Number of the user's turns at work."""


class TurnUsageMeter:
    """Adds the tokens of one running turn to its user's account."""

    def __init__(self, run: TurnRun, account: DailyAccount, daily_tokens: int) -> None:
        self._run = run
        self._account = account
        self._daily_tokens = daily_tokens
        self._spent = 0

    def exceeded(self) -> bool:
        """Update the account; return whether the user's tokens of the day are spent."""
        spent = self._run.estimated_tokens()
        self._account.live += spent - self._spent
        self._spent = spent
        return self._account.settled + self._account.live >= self._daily_tokens

    def settle(self) -> None:
        """Replace the turn's estimate by the usage of its attempts."""
        self._account.live -= self._spent
        usages = [attempt.usage for attempt in self._run.attempts if attempt.usage]
        self._account.settled += sum(usage.input_tokens + usage.output_tokens for usage in usages)


class TokenQuota:
    """The tokens that a user may spend in a day (UTC), shared by the user's turns in each process."""

    def __init__(self, database: Database, daily_tokens: int | None) -> None:
        self.daily_tokens = daily_tokens
        """None for no limit."""
        self._database = database
        self._accounts: dict[tuple[str, int], DailyAccount] = {}
        """By the user's row and the day."""

    def check(self, owner_id: str, now: int) -> Transaction[None]:
        """Raise QuotaExceeded if the recorded usage of the day reaches the limit; `now` is in milliseconds."""
        if self.daily_tokens is not None and (yield from usage.spent(owner_id, now)) >= self.daily_tokens:
            raise quota_exceeded(now)

    @contextlib.asynccontextmanager
    async def meter(self, run: TurnRun) -> AsyncIterator[TurnUsageMeter | None]:
        """Meter the tokens of a turn within the block; None without a limit.

        Raises:
            QuotaExceeded: nothing is left, as may happen while the turn is queued.
        """
        if self.daily_tokens is None:
            yield None
            return
        key = run.owner_id, now_ms() // DAY_MS
        account = self._accounts.setdefault(key, DailyAccount())
        account.turns += 1
        meter = TurnUsageMeter(run, account, self.daily_tokens)
        try:
            await self._refresh(run.owner_id, account, self.daily_tokens)
            yield meter
        finally:
            meter.settle()
            account.turns -= 1
            if not account.turns:
                self._accounts.pop(key, None)

    async def _refresh(self, owner_id: str, account: DailyAccount, daily_tokens: int) -> None:
        """Read the recorded usage, which includes that of other processes."""
        now = now_ms()
        with contextlib.suppress(DatabaseUnavailable):  # it was checked when the turn was accepted
            account.settled = max(account.settled, await self._database.read(usage.spent, owner_id, now))
        if account.settled >= daily_tokens:
            raise quota_exceeded(now)
