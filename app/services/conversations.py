from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.db import conversations, documents, idempotency, messages, users
from app.db.database import Database
from app.db.idempotency import KeyTaken
from app.db.transaction import Transaction, run_in_session
from app.domain.conversations import Conversation, Mode, NewConversation, TitleSource
from app.domain.idempotency import IdempotencyKey
from app.domain.ids import new_id, now_ms
from app.domain.messages import Message, Sampling
from app.domain.principals import Principal
from app.errors import ConversationNotFound, IdempotencyKeyReused
from app.llm.catalog import Catalog
from app.services.turns.executor import TurnExecutor

LATEST_MESSAGES = 100

SAMPLING_FIELDS = frozenset({"provider", "model", "temperature", "max_tokens"})


class ConversationService:
    """Conversations of a principal; methods raise ConversationNotFound for those of other users."""

    def __init__(self, database: Database, catalog: Catalog, executor: TurnExecutor) -> None:
        self._database = database
        self._catalog = catalog
        self._executor = executor

    async def create(
        self, user_id: str, new: NewConversation, key: IdempotencyKey | None = None
    ) -> tuple[Conversation, bool]:
        """Create an empty conversation, and its user if new.

        Return the conversation, and True if an earlier request with the same key has created it.

        Raises:
            IdempotencyKeyReused: the key belongs to another request.
            UnknownModel: its provider or model is not available.
            DocumentNotFound: one of its documents is not the user's.
        """
        self._catalog.resolve(Sampling(), new.sampling)
        conversation_id = new_id()
        try:
            created = await self._database.write_in_session(
                create_conversation, user_id, conversation_id, new, key, now_ms()
            )
        except KeyTaken:
            assert key is not None, "only a key can be taken"  # noqa: S101  for the types
            return await self._created_before(user_id, key), True
        return created, False

    async def _created_before(self, user_id: str, key: IdempotencyKey) -> Conversation:
        first = await self._database.read(idempotency.find, user_id, None, key.key)
        if first is None:  # the user was erased meanwhile
            raise ConversationNotFound
        if first.fingerprint != key.fingerprint:
            raise IdempotencyKeyReused
        return await self.get(Principal(user_id), first.conversation_id)

    async def get(self, principal: Principal, conversation_id: str) -> Conversation:
        conversation = await self._database.read(conversations.get, principal.user_id, conversation_id)
        if conversation is None:
            raise ConversationNotFound
        return conversation

    async def get_with_messages(self, principal: Principal, conversation_id: str) -> tuple[Conversation, list[Message]]:
        """Return a conversation with its last 100 messages in sequence order."""
        return await self._database.read(conversation_with_messages, principal.user_id, conversation_id)

    async def page(
        self, user_id: str, mode: Mode | None, after: tuple[int, str] | None, limit: int
    ) -> list[Conversation]:
        """List a user's conversations by descending time of update and id, from after a position given as both."""
        return await self._database.read(conversations.page, user_id, mode, after, limit)

    async def change(self, principal: Principal, conversation_id: str, changes: Mapping[str, Any]) -> Conversation:
        """Set fields by their names.

        Raises:
            UnknownModel: the resulting provider or model is not available.
            DocumentNotFound: one of the documents is not the user's.
        """
        async with self._database.write_session(locks=conversation_id) as session:
            found = await conversations.locked(session, principal.user_id, conversation_id)
            if found is None:
                raise ConversationNotFound
            row, user_id = found
            before = conversations.conversation_of(row, user_id)
            if "provider" in changes and changes["provider"] != before.sampling.provider:
                changes = {"model": None, **changes}  # a model of the old provider
            if SAMPLING_FIELDS & changes.keys():
                self._catalog.resolve(Sampling(), changed_sampling(before.sampling, changes))
            await run_in_session(session, documents.require_owned(row.owner_id, changes.get("document_ids") or ()))
            if "title" in changes:
                changes = {**changes, "title_source": None if changes["title"] is None else TitleSource.USER}
            conversations.change(row, {**changes, "updated_at": max(now_ms(), before.updated_at)})
            return conversations.conversation_of(row, user_id)

    async def delete(self, principal: Principal, conversation_id: str) -> None:
        """Delete a conversation with its messages and stop its turns."""
        async with self._database.write_session(locks=conversation_id) as session:
            if not await conversations.remove(session, principal.user_id, conversation_id):
                raise ConversationNotFound
        self._executor.conversation_deleted(conversation_id)


def create_conversation(
    user_id: str, conversation_id: str, new: NewConversation, key: IdempotencyKey | None, now: int
) -> Transaction[Conversation]:
    """Insert a conversation, and its user if new; claim the idempotency key."""
    owner_id, _ = yield from users.ensure(user_id, new_id(), now)
    if key is not None:
        yield from idempotency.claim(owner_id, key, conversation_id, None, now)
    yield from conversations.insert(conversation_id, owner_id, new, now)
    created = yield from conversations.get(user_id, conversation_id)
    assert created is not None, "this transaction has inserted it"  # noqa: S101  for the types
    return created


def conversation_with_messages(
    owner: str | None, conversation_id: str
) -> Transaction[tuple[Conversation, list[Message]]]:
    """Read a conversation of its owner (None: any) with its last messages.

    Raises:
        ConversationNotFound: the owner has no such conversation.
    """
    conversation = yield from conversations.get(owner, conversation_id)
    if conversation is None:
        raise ConversationNotFound
    return conversation, (yield from messages.latest(conversation_id, LATEST_MESSAGES))


def changed_sampling(sampling: Sampling, changes: Mapping[str, Any]) -> Sampling:
    """Return a conversation's sampling parameters after changes."""
    names = ("provider", "model", "temperature", "max_tokens")
    return Sampling(*(changes.get(name, getattr(sampling, name)) for name in names))
