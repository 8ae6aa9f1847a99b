"""What was told for a reply, as far as the rows of today still show it."""

from __future__ import annotations

from typing import NamedTuple

from app.db import summaries
from app.db.transaction import Statement, Transaction, first_row
from app.db.turns import context_of
from app.domain.messages import Message, Role
from app.domain.prompt_record import NearbyMessage
from app.domain.turn_outcome import TurnRecord
from app.domain.turns import Summary

CONTEXT = "SELECT CAST(context AS TEXT) FROM messages WHERE message_id = $1"
NEIGHBOURS = """
SELECT sequence_number, role, status, content, answers, deleted_at IS NOT NULL,
superseded_by IS NOT NULL FROM messages
WHERE conversation_id = $1 AND sequence_number > $2 AND sequence_number < $3 ORDER BY sequence_number"""


class RecordedPrompt(NamedTuple):
    """What was told for a reply, with the messages that it is about."""

    work: TurnRecord
    summary: Summary | None
    neighbours: list[NearbyMessage]


def told_for(reply: Message) -> Transaction[RecordedPrompt | None]:
    """What was told for a reply; None when nobody was asked."""
    row = yield from first_row(Statement(CONTEXT, (reply.message_id,)))
    work = context_of(row[0]) if row else None
    if work is None or work.context is None:
        return None
    known = work.context
    summary = None if known.summary_id is None else (yield from summaries.summary_by_id(known.summary_id))
    after = max(known.cut, known.summarised)
    rows = yield Statement(NEIGHBOURS, (reply.conversation_id, after, reply.sequence_number))
    neighbours = [NearbyMessage(*(row[0], Role(row[1]), *row[2:5], bool(row[5]), bool(row[6]))) for row in rows]
    return RecordedPrompt(work, summary, neighbours)
