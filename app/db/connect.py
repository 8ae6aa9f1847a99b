from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.db.engine import Database
from app.errors import DatabaseUnavailable


def connect(url: str, *, pool_size: int) -> Database:
    """Make the database at a URL, `sqlite:///path` or `postgresql://…`, whichever driver it names.

    Raises:
        DatabaseUnavailable: the URL is not one, or of another kind.
    """
    try:
        return database_at(url, pool_size)
    except (ArgumentError, ValueError):
        reason = "DATABASE_URL cannot be read, as where `@` stands in a password unquoted or a port is no number"
        raise DatabaseUnavailable(reason=reason, passing=False) from None  # the cause may quote the password


def database_at(url: str, pool_size: int) -> Database:
    """As `connect`; raises ArgumentError or ValueError for the URL."""
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        from app.db.sqlite import SqliteDatabase

        return SqliteDatabase(Path(parsed.database or ""), pool_size=pool_size)
    if kind in {"postgresql", "postgres"}:
        from app.db.postgres import PostgresDatabase

        return PostgresDatabase(parsed.set(drivername="postgresql+asyncpg"), pool_size=pool_size)
    raise ValueError(f"{kind} is neither sqlite nor postgresql")


def place_of(url: str) -> str:
    """Say which database a URL leads to, without its user, password and options."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return url.partition(":")[0]
    kind, *_ = parsed.drivername.partition("+")
    if kind == "sqlite":
        return f"sqlite {parsed.database}"
    port = f":{parsed.port}" if parsed.port else ""
    host = f" at {parsed.host}{port}" if parsed.host else ""
    return f"{kind} {parsed.database or ''}{host}"
