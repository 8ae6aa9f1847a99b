"""Links of the OpenAPI document: what is made by one operation, and where others take it (3.1, Link Object)."""

from __future__ import annotations

from typing import Any

USER = {"path.user_id": "$response.body#/user_id"}
CONVERSATION = {
    "path.conversation_id": "$response.body#/conversation_id",
    "query.user_id": "$response.body#/user_id",
}
# Without the owner: with all of its parameters, a change that names a document which is not there would look as if it
# were the conversation that is not there.
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
"""By operation and status: the operations that go on from there, with the parameters that they take from the answer."""


def links_of(operation_id: str, status: str) -> dict[str, Any]:
    """The links of an answer, each under the id of the operation that it leads to."""
    found = LINKS.get((operation_id, status), {})
    return {name: {"operationId": name, "parameters": found[name]} for name in found}
