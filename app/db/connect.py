from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url

from app.db.engine import Database


def connect(url: str, *, pool_size: int) -> Database:
    """The database at a URL, `sqlite:///path` or `postgresql://…`, whichever driver it names.

    Raises:
        ValueError: the URL is not one, or of another kind.
    """
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        from app.db.sqlite import SqliteDatabase

        return SqliteDatabase(Path(parsed.database or ""), pool_size=pool_size)
    if kind in {"postgresql", "postgres"}:
        from app.db.postgres import PostgresDatabase

        return PostgresDatabase(parsed.set(drivername="postgresql+asyncpg"), pool_size=pool_size)
    raise ValueError(f"{kind} is neither sqlite nor postgresql")
