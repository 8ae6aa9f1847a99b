"""Unmark replies superseded by one without text: until now they were marked before the new one had ended."""

from alembic import op

from app.domain.messages import WHITE_SPACE

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WITHOUT_TEXT = f"(n.status IN ('queued', 'in_progress') OR trim(n.content, '{WHITE_SPACE}') = '')"


def upgrade() -> None:
    op.execute(f"""
        UPDATE messages SET superseded_by = (
        SELECT n.message_id FROM messages n WHERE n.conversation_id = messages.conversation_id
        AND n.answers = messages.answers AND n.sequence_number > messages.sequence_number AND NOT {WITHOUT_TEXT}
        ORDER BY n.sequence_number LIMIT 1)
        WHERE superseded_by IS NOT NULL AND EXISTS (
        SELECT 1 FROM messages n WHERE n.message_id = messages.superseded_by AND n.deleted_at IS NULL
        AND {WITHOUT_TEXT})""")
