"""Alembic's entry: runs on the connection that app/db/schema.py, which holds the lock, hands over."""

from alembic import context

from app.db.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
