from __future__ import annotations

from app.db import usage
from app.db.database import Database
from app.db.transaction import Transaction
from app.domain.principals import Principal
from app.domain.usage import Attempt, DailyUsage
from app.services.messages import require_message


class UsageService:
    """Provider calls and the tokens they used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attempts(self, principal: Principal, conversation_id: str, message_id: str) -> list[Attempt]:
        """List the provider calls for a reply in chronological order.

        Raises:
            ConversationNotFound, MessageNotFound: the principal has no such reply.
        """
        return await self._database.read(attempts_of_reply, principal.user_id, conversation_id, message_id)

    async def daily_usage(self, user_id: str, first: str, last: str) -> list[DailyUsage]:
        """Return a user's token usage from one day to another, both inclusive, as `2026-11-21` in UTC."""
        return await self._database.read(usage.by_day, user_id, first, last)


def attempts_of_reply(owner: str | None, conversation_id: str, message_id: str) -> Transaction[list[Attempt]]:
    message = yield from require_message(owner, conversation_id, message_id)
    return (yield from usage.of_message(message.message_id))
