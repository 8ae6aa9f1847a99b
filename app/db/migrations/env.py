"""Alembic's environment: runs migrations on the connection of `app.db.schema`, which holds the lock."""

from alembic import context

from app.db.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
