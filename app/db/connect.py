"""Factory of databases: from a URL to SQLite or PostgreSQL."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy.engine import make_url

from app.db.database import Database
from app.db.postgres import url as postgres_url

log = logging.getLogger(__name__)


def connect(url: str, *, pool_size: int, transaction_pooling: bool = False) -> Database:
    """Build the database of a URL, `sqlite:///path` or `postgresql://…` with any driver name; no connection is opened.

    With `transaction_pooling` a pooler in front of PostgreSQL may give each transaction another server connection.

    Raises:
        ValueError: the PostgreSQL URL cannot be read, or has parameters that are not supported.
    """
    if url.startswith("sqlite"):
        from app.db.sqlite.database import SqliteDatabase

        return SqliteDatabase(Path(make_url(url).database or ""), pool_size=pool_size)
    from app.db.postgres.database import PostgresDatabase

    parsed = postgres_url.parse(url)
    if parsed.requires_channel_binding and parsed.tls.get("sslmode") != "verify-full":
        log.warning("channel_binding=require of DATABASE_URL is not checked: sslmode=verify-full gives as much")
    return PostgresDatabase(parsed, pool_size=pool_size, transaction_pooling=transaction_pooling)


def describe_location(url: str) -> str:
    """Return kind, name and servers of the database at a URL, for logs: without user, password and parameters."""
    if url.startswith("sqlite"):
        return f"sqlite {make_url(url).database}"
    parsed = postgres_url.parse(url)
    servers = ",".join(f"{host or ''}{f':{port}' if port else ''}" for host, port in parsed.servers)
    return f"postgresql {parsed.login.get('database', '')}{' at ' if servers else ''}{servers}"
