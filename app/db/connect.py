from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy.engine import make_url

from app.db.database import Database
from app.db.postgres import url as postgres_url

log = logging.getLogger(__name__)


def connect(url: str, *, pool_size: int, by_transaction: bool = False) -> Database:
    """Make the database at a URL, `sqlite:///path` or `postgresql://…`, whichever driver it names.

    `by_transaction` says that a pooler stands before PostgreSQL and gives each transaction another server.

    Raises:
        DatabaseUnavailable: the URL is not one, or of another kind.
    """
    if url.startswith("sqlite"):
        from app.db.sqlite.database import SqliteDatabase

        return SqliteDatabase(Path(make_url(url).database or ""), pool_size=pool_size)
    from app.db.postgres.database import PostgresDatabase

    parsed = postgres_url.parse(url)
    if parsed.binds_channel and parsed.tls.get("sslmode") != "verify-full":
        log.warning("channel_binding=require of DATABASE_URL is not checked: sslmode=verify-full gives as much")
    return PostgresDatabase(parsed, pool_size=pool_size, by_transaction=by_transaction)


def place_of(url: str) -> str:
    """Say which database a URL leads to, without its user, password and parameters."""
    if url.startswith("sqlite"):
        return f"sqlite {make_url(url).database}"
    parsed = postgres_url.parse(url)
    servers = ",".join(f"{host or ''}{f':{port}' if port else ''}" for host, port in parsed.servers)
    return f"postgresql {parsed.login.get('database', '')}{' at ' if servers else ''}{servers}"
