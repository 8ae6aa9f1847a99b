"""Replacing a document by one that was read from the same bytes again."""

from __future__ import annotations

from sqlalchemy import Text, bindparam, cast, select, update

from app.db.expressions import parameter
from app.db.models import ConversationRow, DocumentRow, HiddenStatus
from app.db.predicates import visible
from app.db.transaction import Transaction, execute

HIDE = (
    update(DocumentRow)
    .where(DocumentRow.document_id == bindparam("document_id"), visible())
    .values(status=HiddenStatus.DELETING, process_id=bindparam("process_id"))
    .returning(DocumentRow.owner_id)
)
NAMING = (
    select(ConversationRow.conversation_id, ConversationRow.document_ids)
    .where(
        ConversationRow.owner_id == bindparam("owner_id"),
        cast(ConversationRow.document_ids, Text).contains(bindparam("document_id", type_=Text)),
    )
    .order_by(ConversationRow.conversation_id)
    .with_for_update()
)
SET_DOCUMENT_IDS = (
    update(ConversationRow)
    .where(ConversationRow.conversation_id == bindparam("conversation_id"))
    .values(document_ids=parameter(ConversationRow.document_ids))
)


def replace(document_id: str, replacement_id: str, process_id: str) -> Transaction[None]:
    """Hide a document and name another in its place in conversations; the process `process_id` deletes its rows later.

    Without effect if the document is deleted already.
    """
    for hidden in (yield from execute(HIDE, document_id=document_id, process_id=process_id)):
        naming = yield from execute(NAMING, owner_id=hidden.owner_id, document_id=document_id)
        for conversation in naming:
            named = [replacement_id if each == document_id else each for each in conversation.document_ids]
            yield from execute(
                SET_DOCUMENT_IDS,
                conversation_id=conversation.conversation_id,
                document_ids=list(dict.fromkeys(named)),
            )
