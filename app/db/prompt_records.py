"""Prompt records: the composition of a reply's prompt, stored as JSON with the reply."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from app.db import summaries
from app.db.transaction import Statement, Transaction, first_row
from app.domain.messages import Message, Role
from app.domain.prompt import PromptRecord
from app.domain.prompt_record import NearbyMessage
from app.domain.turn_outcome import TurnRecord
from app.domain.turns import Summary

RECORD = "SELECT CAST(context AS TEXT) FROM messages WHERE message_id = $1"
NEARBY = """
SELECT sequence_number, role, status, content, answers, deleted_at IS NOT NULL,
superseded_by IS NOT NULL FROM messages
WHERE conversation_id = $1 AND sequence_number > $2 AND sequence_number < $3 ORDER BY sequence_number"""

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
    row = yield from first_row(Statement(RECORD, (reply.message_id,)))
    record = parse_record(row[0]) if row else None
    if record is None or record.prompt is None:
        return None
    prompt = record.prompt
    summary = None if prompt.summary_id is None else (yield from summaries.summary_by_id(prompt.summary_id))
    after = max(prompt.dropped_up_to, prompt.summarised_up_to)
    rows = yield Statement(NEARBY, (reply.conversation_id, after, reply.sequence_number))
    nearby = [NearbyMessage(*(row[0], Role(row[1]), *row[2:5], bool(row[5]), bool(row[6]))) for row in rows]
    return RecordedPrompt(record.provider, record.model, prompt, summary, nearby)


def dump_record(record: TurnRecord) -> str | None:
    """Serialise provider, model and prompt of a turn; None where no model was called."""
    prompt = record.prompt
    if prompt is None:
        return None
    context = {key: getattr(prompt, field) for key, field in PROMPT_FIELDS.items()}
    stored = {"provider": record.provider, "model": record.model, "context": context}
    return orjson.dumps(stored).decode()


def parse_record(stored: str | None) -> TurnRecord | None:
    """Parse a stored record; None for none."""
    if stored is None:
        return None
    record = orjson.loads(stored)
    fields = {PROMPT_FIELDS[key]: value for key, value in record["context"].items()}
    fields["sent"] = tuple((first, last) for first, last in fields["sent"])
    return TurnRecord(record["provider"], record["model"], prompt=PromptRecord(**fields))
