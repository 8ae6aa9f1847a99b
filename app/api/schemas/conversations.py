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


class ConversationFields(SamplingBody):
    """The fields of a conversation that its creation and its changes have in common."""

    title: Title | None = Field(
        None, description="Title; without one a new conversation takes the beginning of its first message."
    )
    mode: Mode = Field(
        Mode.OPEN,
        description="`open`: reply freely; `rag`: reply from the user's documents, with citations. Cannot be null.",
    )
    system_prompt: SystemPrompt | None = Field(
        None, description="Instructions for the model, sent before all messages from the next turn on."
    )
    document_ids: DocumentIds | None = Field(
        None, description="Documents to search in rag mode; null for all of the user's."
    )
    metadata: Metadata = Field(
        default_factory=dict, description="Up to 16 texts of your own, by name; a change replaces them all."
    )


class NewConversationBody(ConversationFields, ResponseModeBody, RetrievalBody):
    """A new conversation, with or without a first message."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [NOT_BOTH, {"anyOf": [WITH_MESSAGE, WITHOUT_TURN]}],
            "examples": [{"user_id": "ada", "message": "What is the capital of France?"}],
        }
    )

    user_id: BodyUserId = Field(description="Your own id of the user; the user is created if there is none.")
    message: MessageText | None = Field(None, description="The first message; without it no turn runs.")

    def conversation(self) -> NewConversation:
        return NewConversation(
            title=self.title,
            mode=self.mode,
            system_prompt=self.system_prompt,
            sampling=self.sampling(),
            document_ids=None if self.document_ids is None else [str(each) for each in self.document_ids],
            metadata=self.metadata,
        )


class ConversationChanges(ConversationFields):
    """Changed fields of a conversation; fields that are absent stay as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Capitals"}]})

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
    title: str | None = Field(description="Null until the first message.")
    title_source: TitleSource | None = Field(
        description="Origin of the title: the first message, a model, or a client."
    )
    mode: Mode
    system_prompt: str | None
    provider: str | None = Field(description="Provider of its turns; null for the deployment's default.")
    model: str | None = Field(description="Model of its turns; null for the provider's default.")
    temperature: float | None = Field(description="Temperature of its turns; null for the provider's default.")
    max_tokens: int | None = Field(description="Maximum tokens of a reply; null for the provider's default.")
    document_ids: list[Id] | None = Field(description="Documents that rag mode searches; null for all of the user's.")
    metadata: dict[str, str]
    message_count: int = Field(description="Number of messages, deleted ones not counted.")
    created_at: Moment
    updated_at: Moment = Field(description="Last change, start or end of a turn.")


class ConversationWithMessages(ConversationOut):
    """A conversation with its latest messages in sequence order."""

    messages: list[MessageOut]


class CreatedConversation(ConversationWithMessages):
    """A new conversation with its first reply; null without a message or while the turn is unfinished."""

    assistant_reply: str | None = Field(description="Text of the first reply.")


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
