"""Databases for tests: copies of one that is migrated once, since a copy takes milliseconds."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.db import schema
from app.db.connect import connect
from tests.support.postgres import PostgresCluster


def migrated(url: str) -> None:
    """Migrate a database."""

    async def upgrade() -> None:
        database = connect(url, pool_size=1)
        await schema.upgrade(database)
        await database.close()

    asyncio.run(upgrade())


class SqliteTemplate:
    """A migrated file to copy from."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._template = directory / "template.db"
        migrated(f"sqlite:///{self._template}")

    @contextmanager
    def copy(self) -> Iterator[str]:
        """Give the URL of a new database within the block."""
        path = self._directory / f"{uuid.uuid4().hex}.db"
        shutil.copy(self._template, path)
        yield f"sqlite:///{path}"


class PostgresTemplate:
    """A migrated database to copy from."""

    def __init__(self, cluster: PostgresCluster) -> None:
        self._cluster = cluster
        cluster.create_database("template_parley")
        migrated(cluster.url("template_parley"))

    @contextmanager
    def copy(self) -> Iterator[str]:
        """Give the URL of a new database within the block."""
        name = f"test_{uuid.uuid4().hex}"
        self._cluster.create_database(name, template="template_parley")
        yield self._cluster.url(name)
        self._cluster.drop_database(name)
