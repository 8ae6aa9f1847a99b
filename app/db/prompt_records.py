"""Prompt records: the composition of a reply's prompt, stored as JSON with the reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from app.db import summaries
from app.db.models import MessageRow
from app.db.transaction import Transaction, execute, fetch_value
from app.domain.messages import Message, Role
from app.domain.prompt import PromptRecord
from app.domain.prompt_record import NearbyMessage
from app.domain.turn_outcome import TurnRecord
from app.domain.turns import Summary

RECORD = select(MessageRow.context).where(MessageRow.message_id == bindparam("message_id"))
NEARBY = (
    select(
        MessageRow.sequence_number,
        MessageRow.role,
        MessageRow.status,
        MessageRow.content,
        MessageRow.answers,
        MessageRow.deleted_at.is_not(None).label("deleted"),
        MessageRow.superseded_by.is_not(None).label("superseded"),
    )
    .where(
        MessageRow.conversation_id == bindparam("conversation_id"),
        MessageRow.sequence_number > bindparam("after"),
        MessageRow.sequence_number < bindparam("before"),
    )
    .order_by(MessageRow.sequence_number)
)

PROMPT_FIELDS = {
    "question": "question_number",
    "sent": "sent",
    "cut": "dropped_up_to",
    "summary_id": "summary_id",
    "summarised": "summarised_up_to",
    "system": "system_tokens",
    "tokens": "tokens",
    "correction": "correction",
    "passages": "passage_count",
    "passage_tokens": "passage_tokens",
}
"""The fields of a `PromptRecord` by their keys in rows."""


class RecordedPrompt(NamedTuple):
    """A stored prompt with the present rows of the messages and the summary that it names."""

    provider: str | None
    model: str | None
    prompt: PromptRecord
    summary: Summary | None
    """None where the prompt had none, or it was deleted since."""
    nearby: list[NearbyMessage]


def recorded_prompt(reply: Message) -> Transaction[RecordedPrompt | None]:
    """Read the prompt of a reply; None where no model was called."""
    record = parse_record((yield from fetch_value(RECORD, message_id=reply.message_id)))
    if record is None or record.prompt is None:
        return None
    prompt = record.prompt
    summary = None if prompt.summary_id is None else (yield from summaries.summary_by_id(prompt.summary_id))
    after = max(prompt.dropped_up_to, prompt.summarised_up_to)
    rows = yield from execute(NEARBY, conversation_id=reply.conversation_id, after=after, before=reply.sequence_number)
    nearby = [NearbyMessage(*row)._replace(role=Role(row.role)) for row in rows]
    return RecordedPrompt(record.provider, record.model, prompt, summary, nearby)


def record_to_store(record: TurnRecord) -> dict[str, Any] | None:
    """Return provider, model and prompt of a turn as the column's value; None where no model was called."""
    prompt = record.prompt
    if prompt is None:
        return None
    context = {key: getattr(prompt, field) for key, field in PROMPT_FIELDS.items()}
    return {"provider": record.provider, "model": record.model, "context": context}


def parse_record(stored: Mapping[str, Any] | None) -> TurnRecord | None:
    """Build provider, model and prompt of a turn from the column's value; None for none."""
    if stored is None:
        return None
    fields = {PROMPT_FIELDS[key]: value for key, value in stored["context"].items()}
    fields["sent"] = tuple((first, last) for first, last in fields["sent"])
    return TurnRecord(stored["provider"], stored["model"], prompt=PromptRecord(**fields))
