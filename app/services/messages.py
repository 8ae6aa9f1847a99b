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

PAGE_SIZE = 50
"""Messages in the response to a turn, and in a page by default."""


class MessageRange(NamedTuple):
    """A page of messages by sequence number; both bounds are exclusive."""

    after: int = 0
    before: int = NO_UPPER_BOUND
    limit: int = PAGE_SIZE
    descending: bool = False


class MessageService:
    """Messages of a principal; methods raise ConversationNotFound or MessageNotFound for those of other users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, principal: Principal, conversation_id: str, message_id: str) -> Message:
        return await self._database.read(require_message, principal.user_id, conversation_id, message_id)

    async def page(self, principal: Principal, conversation_id: str, bounds: MessageRange) -> list[Message]:
        page = await self._database.read(messages.owned_page, principal.user_id, conversation_id, *bounds)
        if page is None:
            raise ConversationNotFound
        return page

    async def up_to(self, reply: Message) -> list[Message]:
        """Return the 50 messages up to and including a reply, in sequence order."""
        before = reply.sequence_number + 1
        return await self._database.read(messages.latest, reply.conversation_id, PAGE_SIZE, before)

    async def reasoning(self, page: Sequence[Message]) -> dict[str, str]:
        """Return the reasoning behind replies among these messages of one conversation, by message id."""
        if not page:
            return {}
        numbers = [each.sequence_number for each in page]
        conversation_id = page[0].conversation_id
        return await self._database.read(messages.reasoning, conversation_id, min(numbers), max(numbers))

    async def edit(self, principal: Principal, conversation_id: str, message_id: str, content: str) -> Message:
        """Replace the text of a user's message.

        Raises:
            InvalidRequest: it is not a user's message.
            TurnUnfinished: its turn is queued or running.
        """
        return await self._database.write(
            edit_message, principal.user_id, conversation_id, message_id, content, now_ms()
        )

    async def delete(self, principal: Principal, conversation_id: str, message_id: str) -> None:
        """Delete a message from all reads and prompts; its sequence number is not reused.

        Raises:
            TurnUnfinished: its turn is queued or running.
        """
        await self._database.write(delete_message, principal.user_id, conversation_id, message_id, now_ms())


def require_message(owner: str | None, conversation_id: str, message_id: str) -> Transaction[Message]:
    """Return a message of the owner, or of any user with None.

    Raises:
        ConversationNotFound, MessageNotFound: there is none.
    """
    message = yield from messages.owned_message(owner, conversation_id, message_id)
    if message is not None:
        return message
    if not (yield from messages.conversation_exists(owner, conversation_id)):
        raise ConversationNotFound
    raise MessageNotFound


def lock_finished_message(owner: str | None, conversation_id: str, message_id: str) -> Transaction[Message]:
    """Lock the conversation and return a message of a finished turn.

    Raises:
        ConversationNotFound, MessageNotFound: there is none.
        TurnUnfinished: its turn is queued or running.
    """
    if not (yield from messages.lock_conversation(owner, conversation_id)):
        raise ConversationNotFound
    message = yield from require_message(owner, conversation_id, message_id)
    if not message.status.terminal or (yield from messages.turn_is_unfinished(message)):
        raise TurnUnfinished
    return message


def edit_message(
    owner: str | None, conversation_id: str, message_id: str, content: str, now: int
) -> Transaction[Message]:
    message = yield from lock_finished_message(owner, conversation_id, message_id)
    if message.role is not Role.USER:
        raise InvalidRequest("Only a user's message can be edited; regenerate a reply instead.")
    yield from messages.edit(message, content, now)
    return (yield from require_message(owner, conversation_id, message_id))


def delete_message(owner: str | None, conversation_id: str, message_id: str, now: int) -> Transaction[None]:
    message = yield from lock_finished_message(owner, conversation_id, message_id)
    yield from messages.delete_text(message, now)
