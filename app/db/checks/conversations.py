"""Invariants of docs/architecture.md, as queries for the rows that break them."""

from __future__ import annotations

from app.db.checks import documents
from app.db.database import Kind
from app.db.process_leases import leased
from app.db.transaction import Statement, Transaction
from app.domain.messages import WHITE_SPACE

CHECKS = {
    "conversation {} has gaps or duplicates in its sequence numbers": """
SELECT c.conversation_id FROM conversations c LEFT JOIN messages m ON m.conversation_id = c.conversation_id
GROUP BY c.conversation_id, c.last_sequence
HAVING COUNT(m.message_id) <> c.last_sequence OR COALESCE(MAX(m.sequence_number), 0) <> c.last_sequence""",
    "conversation {} has a wrong message_count": """
SELECT c.conversation_id FROM conversations c LEFT JOIN messages m ON m.conversation_id = c.conversation_id
AND m.deleted_at IS NULL GROUP BY c.conversation_id, c.message_count
HAVING COUNT(m.message_id) <> c.message_count""",
    "conversation {} has more than one turn in progress": """
SELECT conversation_id FROM messages WHERE status = 'in_progress'
GROUP BY conversation_id HAVING COUNT(*) > 1""",
    "message {} is completed without a finish reason": """
SELECT message_id FROM messages WHERE role = 'assistant' AND status = 'completed' AND finish_reason IS NULL""",
    "message {} has ended without completed_at": """
SELECT message_id FROM messages WHERE status NOT IN ('queued', 'in_progress') AND completed_at IS NULL""",
    "message {} is not superseded by a later reply with text to the same question": f"""
SELECT m.message_id FROM messages m WHERE m.superseded_by IS NOT NULL AND NOT EXISTS (
SELECT 1 FROM messages n WHERE n.message_id = m.superseded_by AND n.conversation_id = m.conversation_id
AND n.answers = m.answers AND n.sequence_number > m.sequence_number AND n.status NOT IN ('queued', 'in_progress')
AND (n.deleted_at IS NOT NULL OR trim(n.content, '{WHITE_SPACE}') <> ''))""",
    "message {} is one of several replies to a question of which none is superseded": f"""
SELECT MIN(CAST(message_id AS TEXT)) FROM messages
WHERE role = 'assistant' AND status NOT IN ('queued', 'in_progress') AND deleted_at IS NULL AND superseded_by IS NULL
AND trim(content, '{WHITE_SPACE}') <> '' GROUP BY conversation_id, answers HAVING COUNT(*) > 1""",
    "message {} is unfinished and its process has no lease": f"""
SELECT m.message_id FROM messages m WHERE m.status IN ('queued', 'in_progress') AND NOT {leased("m")}""",
    "message {} belongs to no conversation": """
SELECT m.message_id FROM messages m WHERE NOT EXISTS (
SELECT 1 FROM conversations c WHERE c.conversation_id = m.conversation_id)""",
    "summary {} covers messages that do not exist": """
SELECT s.summary_id FROM summaries s LEFT JOIN conversations c ON c.conversation_id = s.conversation_id
WHERE c.conversation_id IS NULL OR s.last_sequence > c.last_sequence""",
    "attempt {} belongs to no user": """
SELECT a.attempt_id FROM attempts a WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = a.owner_id)""",
    "conversation {} belongs to no user": """
SELECT c.conversation_id FROM conversations c WHERE NOT EXISTS (
SELECT 1 FROM users u WHERE u.id = c.owner_id)""",
}


def findings(kind: Kind) -> Transaction[list[str]]:
    """Return a sentence for each row that breaks an invariant, those of documents included."""
    found = []
    all_checks = CHECKS | (yield from documents.check_queries(kind))
    for sentence, sql in all_checks.items():
        found += [sentence.format(row[0]) for row in (yield Statement(sql))]
    return found
