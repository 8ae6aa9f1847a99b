from __future__ import annotations

from app.db import attempts
from app.db.engine import Database
from app.domain.ids import now_ms
from app.domain.quotas import quota_exceeded
from app.errors import DatabaseUnavailable


class Account:
    """What one user has spent today, as far as this process knows."""

    def __init__(self) -> None:
        self.settled = 0
        """Tokens of attempts that are in the ledger."""
        self.live = 0
        """Tokens of the turns that this process has at work, estimated."""
        self.turns = 0


class Spending:
    """What one turn spends."""

    def __init__(self, account: Account, limit: int) -> None:
        self._account = account
        self._limit = limit
        self._spent = 0

    def reaches_limit(self, tokens: int) -> bool:
        """Takes note of what the turn has spent by now; whether its user has no more to spend."""
        self._account.live += tokens - self._spent
        self._spent = tokens
        return self._account.settled + self._account.live >= self._limit

    def settle(self, tokens: int) -> None:
        """Ends it with what it has really cost."""
        self._account.live -= self._spent
        self._account.settled += tokens
        self._account.turns -= 1


class Budgets:
    """The tokens that users may spend in a day. Turns of one user at once share it, process by process."""

    def __init__(self, database: Database, daily_tokens: int | None) -> None:
        self.daily_tokens = daily_tokens
        self._database = database
        self._accounts: dict[str, Account] = {}

    async def open(self, owner_id: str) -> Spending | None:
        """Lets a turn spend; None where there is no limit.

        Raises:
            QuotaExceeded: there is nothing left, as when it had to wait behind others.
        """
        if self.daily_tokens is None:
            return None
        now = now_ms()
        try:
            settled = await self._database.query(attempts.spent, owner_id, now)
        except DatabaseUnavailable:  # it was asked when the turn was accepted: no reason to fail one that has been
            settled = 0
        if settled >= self.daily_tokens:
            raise quota_exceeded(now)
        self._accounts = {owner: each for owner, each in self._accounts.items() if each.turns}
        account = self._accounts.setdefault(owner_id, Account())
        account.settled = max(account.settled, settled) if account.turns else settled
        account.turns += 1
        return Spending(account, self.daily_tokens)
