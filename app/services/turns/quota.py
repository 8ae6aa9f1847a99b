from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from app.db import usage
from app.db.database import Database
from app.domain.ids import now_ms
from app.domain.quota import DAY_MS, quota_exceeded
from app.domain.token_estimate import whole_tokens
from app.errors import DatabaseUnavailable
from app.services.replies.stream import ReplyStream


class DailyAccount:
    """What one user has spent today, as far as this process knows."""

    def __init__(self) -> None:
        self.settled = 0
        """Tokens of attempts that have ended."""
        self.live = 0
        """Tokens of the turns that this process has at work, estimated."""
        self.turns = 0


class TurnUsageMeter:
    """What one turn spends."""

    def __init__(self, reply: ReplyStream, account: DailyAccount, limit: int) -> None:
        self._reply = reply
        self._account = account
        self._limit = limit
        self._spent = 0

    def reaches_limit(self) -> bool:
        """Whether the turn's user has no more to spend, with what there is of its reply."""
        call = self._reply.call
        sent = call.prompt.context.tokens if call and call.prompt else 0
        spent = sent + (whole_tokens(call.twentieths) if call else 0)
        self._account.live += spent - self._spent
        self._spent = spent
        return self._account.settled + self._account.live >= self._limit

    def settle(self) -> None:
        """Ends it with what its attempts have cost."""
        made = self._reply.call.attempts if self._reply.call else []
        self._account.live -= self._spent
        self._account.settled += sum(each.usage.input_tokens + each.usage.output_tokens for each in made if each.usage)


class TokenQuota:
    """The tokens that users may spend in a day. Turns of one user at once share it, process by process."""

    def __init__(self, database: Database, daily_tokens: int | None) -> None:
        self.daily_tokens = daily_tokens
        self._database = database
        self._accounts: dict[tuple[str, int], DailyAccount] = {}
        """By user and day."""

    @contextlib.asynccontextmanager
    async def spending(self, reply: ReplyStream) -> AsyncIterator[TurnUsageMeter | None]:
        """What a turn spends within the block; None where there is no limit.

        Raises:
            QuotaExceeded: there is nothing left, as when it had to wait behind others.
        """
        if self.daily_tokens is None:
            yield None
            return
        whose = reply.owner_id, now_ms() // DAY_MS
        account = self._accounts.setdefault(whose, DailyAccount())
        account.turns += 1
        spending = TurnUsageMeter(reply, account, self.daily_tokens)
        try:
            await self._look(reply.owner_id, account, self.daily_tokens)
            yield spending
        finally:
            spending.settle()
            account.turns -= 1
            if not account.turns:
                self._accounts.pop(whose, None)

    async def _look(self, owner_id: str, account: DailyAccount, daily_tokens: int) -> None:
        """Asks the ledger, which also knows of other processes' turns."""
        now = now_ms()
        with contextlib.suppress(DatabaseUnavailable):  # it was asked before, when the turn was accepted
            account.settled = max(account.settled, await self._database.read(usage.spent, owner_id, now))
        if account.settled >= daily_tokens:
            raise quota_exceeded(now)
