"""Links of the OpenAPI document: from the ids that an operation returns to operations on them (3.1, Link Object)."""

from __future__ import annotations

from typing import Any

USER = {"path.user_id": "$response.body#/user_id"}
CONVERSATION = {
    "path.conversation_id": "$response.body#/conversation_id",
    "query.user_id": "$response.body#/user_id",
}
# Without the owner: a test tool that follows the link with all parameters would take the 404 of an unknown document for
# that of the conversation.
CONVERSATION_ALONE = {"path.conversation_id": "$response.body#/conversation_id"}
QUESTION = {
    "path.conversation_id": "$response.body#/conversation_id",
    "path.message_id": "$response.body#/messages/0/message_id",
}
REPLY = QUESTION | {"path.message_id": "$response.body#/messages/1/message_id"}
DOCUMENT = {"path.document_id": "$response.body#/document_id"}

OF_USERS = dict.fromkeys(("get_user", "rename_user", "erase_user"), USER)
OF_CONVERSATIONS = dict.fromkeys(
    ("get_conversation", "delete_conversation", "list_messages", "post_message"), CONVERSATION
) | {"change_conversation": CONVERSATION_ALONE}
OF_MESSAGES = dict.fromkeys(("edit_message", "delete_message"), QUESTION) | dict.fromkeys(
    ("get_message", "resume", "cancel", "regenerate", "get_context", "list_attempts"), REPLY
)
OF_DOCUMENTS = dict.fromkeys(
    ("get_document", "follow_document", "get_text", "get_content", "delete_document"), DOCUMENT
)

LINKS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("create_user", "200"): OF_USERS,
    ("create_user", "201"): OF_USERS,
    ("create_conversation", "201"): OF_CONVERSATIONS,
    ("create_conversation", "202"): OF_CONVERSATIONS | OF_MESSAGES,
    ("post_message", "201"): OF_MESSAGES,
    ("post_message", "202"): OF_MESSAGES,
    ("upload_document", "200"): OF_DOCUMENTS,
    ("upload_document", "202"): OF_DOCUMENTS,
}
"""Follow-up operations by operation id and status, with the parameters taken from the response."""


def links_of(operation_id: str, status: str) -> dict[str, Any]:
    """Build the links of a response, named for the operations they lead to."""
    parameters = LINKS.get((operation_id, status), {})
    return {name: {"operationId": name, "parameters": parameters[name]} for name in parameters}
