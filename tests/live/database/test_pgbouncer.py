"""Parley behind Debian's pgbouncer, which gives each session, or each transaction, another backend of the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select, text

from app.db import schema
from app.db.connect import connect
from app.db.database import Database
from app.db.models import UserRow
from app.db.transaction import Transaction
from app.db.vector_indexes import existing_indexes, update_vector_indexes
from app.domain.ids import new_id
from tests.support.library import Directions, count_rows, new_document, new_owner
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import PostgresCluster
from tests.support.process import parley_command, parley_process
from tests.support.sql import run_sql

MODES = ("session", "transaction")
OURS = {
    "statement_timeout": "5s",
    "hnsw.ef_search": "500",
    "hnsw.iterative_scan": "strict_order",
    "hnsw.max_scan_tuples": "5000",
}


class Pooled(NamedTuple):
    """A database behind a pooler, and the service's settings for it."""

    cluster: PostgresCluster
    name: str
    url: str
    mode: str

    @property
    def settings(self) -> dict[str, Any]:
        return {"database_url": self.url, "database_pooler": self.mode}

    @contextlib.asynccontextmanager
    async def database(self, pool_size: int = 3, query: str = "") -> AsyncIterator[Database]:
        opened = connect(self.url + query, pool_size=pool_size, transaction_pooling=self.mode == "transaction")
        yield opened
        await opened.close()


@pytest.fixture(scope="module", params=MODES)
def pooler(request: pytest.FixtureRequest, cluster: PostgresCluster) -> Iterator[tuple[str, int]]:
    with pgbouncer(cluster, request.param) as port:
        yield request.param, port


@pytest.fixture
def pooled(cluster: PostgresCluster, pooler: tuple[str, int], tmp_path: Path) -> Iterator[Pooled]:
    """Give an empty database behind the pooler."""
    mode, port = pooler
    name = f"pooled_{tmp_path.name}"
    cluster.create_database(name)
    yield Pooled(cluster, name, f"postgresql://postgres@127.0.0.1:{port}/{name}", mode)
    cluster.drop_database(name)


def setting(name: str) -> Transaction[str]:
    return str((yield from run_sql("SELECT current_setting($1)", name))[0][0])


def backend(pause: float) -> Transaction[list[int]]:
    """Return the backends in which two statements of one transaction run."""
    rows = []
    for _ in range(2):
        rows += yield from run_sql("SELECT pg_backend_pid() FROM pg_sleep($1)", pause)
    return [row[0] for row in rows]


async def test_two_processes_serve(tmp_path: Path, pooled: Pooled) -> None:
    """Two processes start at once on an empty database, one of them migrates it, and both serve turns."""
    async with contextlib.AsyncExitStack() as stack:
        serving = [parley_process(tmp_path, llm_provider="scripted", **pooled.settings) for _ in range(2)]
        one, other = await asyncio.gather(*map(stack.enter_async_context, serving))
        conversations = await asyncio.gather(
            *(each.client.create_conversation(message="Hello") for each in (one, other) * 5)
        )
        await asyncio.gather(*(one.client.send(each, "One") for each in conversations))
        await asyncio.gather(*(other.client.send(each, "Two") for each in conversations))
        for each in conversations:
            assert [row["sequence_number"] for row in await one.client.get_messages(each)] == [1, 2, 3, 4, 5, 6]
        assert [line for each in (one, other) for line in each.log if line["level"] != "info"] == []
    checked = await parley_command(tmp_path, "check", **pooled.settings)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "0 broken invariants\n", "")


async def test_concurrent_starts_migrate_once(pooled: Pooled) -> None:
    """The migration lock belongs to a transaction: it is held until the migration ends and released after it."""
    async with contextlib.AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(pooled.database(pool_size=1)) for _ in range(4)]
        await asyncio.gather(*map(schema.upgrade, databases))
        for each in databases:
            assert await schema.revision_of(each) == schema.HEAD
        assert pooled.cluster.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", pooled.name) == "0"


async def test_statements_have_their_settings(pooled: Pooled) -> None:
    """Statements run with the settings of the service and the URL; other clients of the pooler do not get them."""
    async with pooled.database(query="?options=-c%20work_mem%3D9MB") as database:
        for name, expected in (OURS | {"work_mem": "9MB"}).items():
            assert await database.read(setting, name) == expected
            assert await database.read_snapshot(setting, name) == expected
            assert await database.write(setting, name) == expected
            async with database.read_session() as session:
                assert (await session.execute(text(f"SHOW {name}"))).scalar_one() == expected
            async with database.write_session() as session:
                assert (await session.execute(text(f"SHOW {name}"))).scalar_one() == expected
    shown = pooled.cluster.psql_at(pooled.url, "SHOW statement_timeout; SHOW work_mem")
    assert shown.split() == ["0", "4MB"]


async def test_transaction_stays_on_one_backend(pooled: Pooled) -> None:
    """All statements of a transaction, also of one that only reads, run in the same backend."""
    async with pooled.database(pool_size=8) as database:
        for run in (database.read, database.write):
            for first, second in await asyncio.gather(*(run(backend, 0.01) for _ in range(24))):
                assert first == second


async def test_many_clients_share_few_backends(pooled: Pooled) -> None:
    """No statement is prepared under a name that another client's backend lacks or uses for something else."""
    async with contextlib.AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(pooled.database(pool_size=2)) for _ in range(4)]
        await schema.upgrade(databases[0])

        async def use(database: Database, number: int) -> None:
            async with database.write_session() as session:
                session.add(UserRow(id=new_id(), user_id=f"user{number}", created_at=1))
            assert await database.read(setting, "statement_timeout") == "5s"
            async with database.read_session() as session:
                found = await session.execute(select(UserRow).where(UserRow.user_id == f"user{number}"))
                assert found.scalar_one().created_at == 1

        await asyncio.gather(*(use(databases[number % 4], number) for number in range(40)))
        assert await count_rows(databases[0], "users") == 40


async def test_large_library_gets_an_index(pooled: Pooled) -> None:
    """Of two processes one builds the vector index, and its lock ends with the work."""
    async with pooled.database() as database:
        await schema.upgrade(database)
        owner = await new_owner(database)
        await new_document(database, owner, "a cat", "a car", "some tea", "a feline", embedder=Directions())
        await asyncio.gather(*(update_vector_indexes(database, large=3) for _ in range(2)))
        assert list((await database.read(existing_indexes)).values()) == [True]
        assert pooled.cluster.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", pooled.name) == "0"


async def test_refusal_of_the_pooler_ends_the_start(tmp_path: Path, pooled: Pooled) -> None:
    """An unknown login or parameter ends the start at once with one line without the password."""
    known = pooled.url.replace("postgres@", "known:hunter3@")
    nobody = pooled.url.replace("postgres@", "nobody:hunter3@")
    for url in (known, nobody, f"{pooled.url}?options=endpoint%3Dep-a"):
        refused = await parley_command(tmp_path, "check", **pooled.settings | {"database_url": url})
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("parley: The database cannot be used: ")
        assert refused.stderr.count("\n") == 1
        assert "hunter" not in refused.stderr


async def test_missing_pooler_setting_is_named(tmp_path: Path, cluster: PostgresCluster) -> None:
    """If a pooler spreads transactions over backends and the setting does not say so, the error names it."""
    cluster.create_database("unset")
    try:
        with pgbouncer(cluster, "transaction") as port:
            url = f"postgresql://postgres@127.0.0.1:{port}/unset"
            await parley_command(tmp_path, "migrate", database_url=url)  # its prepared statements stay in its backend
            refused = await parley_command(tmp_path, "check", database_url=url)
    finally:
        cluster.drop_database("unset")
    assert refused.returncode == 2, refused.stdout
    assert "DATABASE_POOLER=transaction" in refused.stderr
    assert refused.stderr.count("\n") == 1
