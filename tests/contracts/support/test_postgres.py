"""The tests' PostgreSQL cluster, seen by the real driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from tests.support.postgres import PostgresCluster, PostgresError


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with PostgresCluster.start() as cluster:
        yield cluster


async def value(cluster: PostgresCluster, database: str, query: str) -> Any:
    connection = await asyncpg.connect(cluster.url(database))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_cluster_accepts_connections(cluster: PostgresCluster) -> None:
    """A started cluster accepts connections."""
    assert await value(cluster, "postgres", "SELECT 1") == 1


async def test_database_is_copied_and_dropped(cluster: PostgresCluster) -> None:
    """A copy has the template's rows, and open connections do not keep a database."""
    cluster.create_database("template")
    cluster.psql("CREATE TABLE one AS SELECT 1 AS value", "template")
    cluster.create_database("copy", template="template")
    connection = await asyncpg.connect(cluster.url("copy"))
    assert await connection.fetchval("SELECT value FROM one") == 1
    cluster.drop_database("copy")
    connection.terminate()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await value(cluster, "copy", "SELECT 1")


async def test_killed_cluster_restarts(cluster: PostgresCluster) -> None:
    """Clients lose their connection; acknowledged rows are there after the restart, at the same port."""
    cluster.create_database("kept")
    connection = await asyncpg.connect(cluster.url("kept"))
    await connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
    cluster.kill()
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await connection.fetchval("SELECT 1")
    with pytest.raises(ConnectionRefusedError):
        await value(cluster, "kept", "SELECT 1")
    cluster.restart()
    assert await value(cluster, "kept", "SELECT value FROM kept") == 1


def test_refused_statement_is_reported(cluster: PostgresCluster) -> None:
    """The error of psql is the error of the test."""
    with pytest.raises(PostgresError, match="does not exist"):
        cluster.psql("SELECT * FROM nowhere")
