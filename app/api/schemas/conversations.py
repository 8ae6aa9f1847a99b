from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from app.api.schemas.fields import (
    BodyUserId,
    DocumentIds,
    Id,
    JsonObject,
    MessageText,
    Metadata,
    Moment,
    Output,
    SystemPrompt,
    Title,
    rfc3339,
)
from app.api.schemas.messages import NOT_BOTH, MessageOut, ResponseModeBody, RetrievalBody, SamplingBody
from app.domain.conversations import Conversation, Mode, NewConversation, TitleSource

WITH_MESSAGE: JsonObject = {"required": ["message"], "properties": {"message": {"type": "string"}}}
WITHOUT_TURN: JsonObject = {"properties": {"stream": {"const": False}, "background": {"const": False}}}


class NewConversationBody(SamplingBody, ResponseModeBody, RetrievalBody):
    """A new conversation, optionally with its first message."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [NOT_BOTH, {"anyOf": [WITH_MESSAGE, WITHOUT_TURN]}],
            "examples": [{"user_id": "ada", "message": "What is the capital of France?"}],
        }
    )

    user_id: BodyUserId
    message: MessageText | None = None
    mode: Mode = Mode.OPEN
    title: Title | None = None
    system_prompt: SystemPrompt | None = None
    document_ids: DocumentIds | None = None
    metadata: Metadata = Field(default_factory=dict)

    def conversation(self) -> NewConversation:
        return NewConversation(
            title=self.title,
            mode=self.mode,
            system_prompt=self.system_prompt,
            sampling=self.sampling(),
            document_ids=None if self.document_ids is None else [str(each) for each in self.document_ids],
            metadata=self.metadata,
        )


class ConversationChanges(SamplingBody):
    """Changed fields of a conversation; null resets a field."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Capitals"}]})

    title: Title | None = None
    mode: Mode = Mode.OPEN
    system_prompt: SystemPrompt | None = None
    document_ids: DocumentIds | None = None
    metadata: Metadata = Field(default_factory=dict)

    def changes(self) -> dict[str, Any]:
        """Return the fields that the body sets, null included."""
        given = self.model_dump(exclude_unset=True)
        if given.get("document_ids") is not None:
            given["document_ids"] = [str(each) for each in given["document_ids"]]
        return given


class ConversationOut(Output):
    """A conversation."""

    conversation_id: Id
    user_id: str
    title: str | None
    title_source: TitleSource | None
    mode: Mode
    system_prompt: str | None
    provider: str | None
    model: str | None
    temperature: float | None
    max_tokens: int | None
    document_ids: list[Id] | None
    metadata: dict[str, str]
    message_count: int
    created_at: Moment
    updated_at: Moment


class ConversationWithMessages(ConversationOut):
    """A conversation with its latest messages in sequence order."""

    messages: list[MessageOut]


class CreatedConversation(ConversationWithMessages):
    """A new conversation with its first reply; null without a message or while the turn is unfinished."""

    assistant_reply: str | None


def conversation_json(conversation: Conversation) -> JsonObject:
    sampling = conversation.sampling
    return {
        "conversation_id": conversation.conversation_id,
        "user_id": conversation.user_id,
        "title": conversation.title,
        "title_source": conversation.title_source,
        "mode": conversation.mode,
        "system_prompt": conversation.system_prompt,
        "provider": sampling.provider,
        "model": sampling.model,
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "document_ids": conversation.document_ids,
        "metadata": conversation.metadata,
        "message_count": conversation.message_count,
        "created_at": rfc3339(conversation.created_at),
        "updated_at": rfc3339(conversation.updated_at),
    }
