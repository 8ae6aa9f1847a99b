"""Rows of a running service that tests read and change in the database, as no API does."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update

from app.db.models import Base, ConversationRow
from tests.support.service import Service


async def row_counts(service: Service) -> dict[str, int]:
    """Count the rows of users, conversations and messages."""
    names = ("users", "conversations", "messages")
    async with service.database.read_session() as session:
        return {
            name: await session.scalar(select(func.count()).select_from(Base.metadata.tables[name])) for name in names
        }


async def set_updated_at(service: Service, conversations: list[dict[str, Any]], moment: int) -> None:
    """Set when conversations were updated, in milliseconds since the epoch."""
    ids = [each["conversation_id"] for each in conversations]
    async with service.database.write_session() as session:
        await session.execute(
            update(ConversationRow).where(ConversationRow.conversation_id.in_(ids)).values(updated_at=moment)
        )
