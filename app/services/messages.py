from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.db import messages
from app.db.database import Database
from app.db.transaction import Transaction
from app.domain.ids import now_ms
from app.domain.messages import NO_UPPER_BOUND, Message, Role
from app.domain.principals import Principal
from app.errors import ConversationNotFound, InvalidRequest, MessageNotFound, TurnUnfinished

WINDOW = 50
"""Messages in the answer to a turn."""


class MessageRange(NamedTuple):
    """A page of messages by sequence number; neither bound is included."""

    after: int = 0
    before: int = NO_UPPER_BOUND
    limit: int = WINDOW
    descending: bool = False


class MessageService:
    """A conversation's messages; methods raise ConversationNotFound or MessageNotFound for what is not theirs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, who: Principal, conversation_id: str, message_id: str) -> Message:
        """One message."""
        return await self._database.read(get, who.user_id, conversation_id, message_id)

    async def page(self, who: Principal, conversation_id: str, between: MessageRange) -> list[Message]:
        """The messages between two sequence numbers."""
        page = await self._database.read(messages.owned_page, who.user_id, conversation_id, *between)
        if page is None:
            raise ConversationNotFound
        return page

    async def window(self, reply: Message) -> list[Message]:
        """The 50 messages up to and including a reply, in sequence order."""
        before = reply.sequence_number + 1
        return await self._database.read(messages.latest, reply.conversation_id, WINDOW, before)

    async def reasoning(self, page: Sequence[Message]) -> dict[str, str]:
        """The thinking behind the replies among these messages of one conversation, by id."""
        if not page:
            return {}
        numbers = [each.sequence_number for each in page]
        conversation_id = page[0].conversation_id
        return await self._database.read(messages.reasoning, conversation_id, min(numbers), max(numbers))

    async def edit(self, who: Principal, conversation_id: str, message_id: str, content: str) -> Message:
        """Gives a user's message other text.

        Raises:
            InvalidRequest: it is not a user's message.
            TurnUnfinished: its turn is waiting or at work.
        """
        return await self._database.write(edit, who.user_id, conversation_id, message_id, content, now_ms())

    async def delete(self, who: Principal, conversation_id: str, message_id: str) -> None:
        """Takes a message out of all that is read, also by models; its number stays taken.

        Raises:
            TurnUnfinished: its turn is waiting or at work.
        """
        await self._database.write(delete, who.user_id, conversation_id, message_id, now_ms())


def get(owner: str | None, conversation_id: str, message_id: str) -> Transaction[Message]:
    """Reads a message; a conversation that is not there is told apart from a message that is not."""
    message = yield from messages.owned_message(owner, conversation_id, message_id)
    if message is not None:
        return message
    if not (yield from messages.readable_conversation(owner, conversation_id)):
        raise ConversationNotFound
    raise MessageNotFound


def settled(owner: str | None, conversation_id: str, message_id: str) -> Transaction[Message]:
    """A message of a finished turn, with its conversation locked."""
    if not (yield from messages.lock_conversation(owner, conversation_id)):
        raise ConversationNotFound
    message = yield from get(owner, conversation_id, message_id)
    if not message.status.terminal or (yield from messages.turn_is_unfinished(message)):
        raise TurnUnfinished
    return message


def edit(owner: str | None, conversation_id: str, message_id: str, content: str, now: int) -> Transaction[Message]:
    """The transaction of an edit."""
    message = yield from settled(owner, conversation_id, message_id)
    if message.role is not Role.USER:
        raise InvalidRequest("Only a user's message can be edited.")
    yield from messages.edit(message, content, now)
    return (yield from get(owner, conversation_id, message_id))


def delete(owner: str | None, conversation_id: str, message_id: str, now: int) -> Transaction[None]:
    """The transaction of a deletion."""
    message = yield from settled(owner, conversation_id, message_id)
    yield from messages.empty(message, now)
