from __future__ import annotations

from app.db import usage as attempts
from app.db.database import Database
from app.db.transaction import Transaction
from app.domain.principals import Principal
from app.domain.usage import Attempt, DailyUsage
from app.services.messages import get


class UsageService:
    """What providers were asked, and what that took."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attempts(self, who: Principal, conversation_id: str, message_id: str) -> list[Attempt]:
        """The calls of providers for a reply, in their order.

        Raises:
            ConversationNotFound, MessageNotFound: the principal has none such.
        """
        return await self._database.read(attempts_at, who.user_id, conversation_id, message_id)

    async def usage(self, user_id: str, first: str, last: str) -> list[DailyUsage]:
        """What a user has used from one day to another, both included, as `2026-11-21` in UTC."""
        return await self._database.read(attempts.by_day, user_id, first, last)


def attempts_at(owner: str | None, conversation_id: str, message_id: str) -> Transaction[list[Attempt]]:
    """Reads the attempts at a message that the owner has."""
    message = yield from get(owner, conversation_id, message_id)
    return (yield from attempts.of_message(message.message_id))
