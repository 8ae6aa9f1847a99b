"""Errors of PostgreSQL, code by code, when connecting and for statements."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import asyncpg
import pytest
from sqlalchemy import exc, make_url, text

from app.db import process_leases, schema
from app.db.database import Database
from app.db.outages import causes
from app.db.postgres.database import PostgresDatabase
from app.db.postgres.url import parse
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from tests.support.databases import PostgresTemplate
from tests.support.postgres import PostgresCluster
from tests.support.postgres_wire import FATAL, PostgresWire, error_response
from tests.support.sql import run_sql

Use = Callable[[Database], Awaitable[Any]]

REFUSE_CONNECTIONS = [
    "08000", "08001", "08003", "08004", "08006", "08P01", "0A000", "22023", "28000", "28P01", "3D000", "42501", "42704",
    "53000", "53100", "53200", "53300", "53400", "55000", "55006", "55P02", "57P01", "57P02", "57P03", "57P04", "58000",
    "58030", "58P01", "F0000", "XX000", "XX001", "CR000",
]  # fmt: skip
LASTING = {"0A000", "22023", "28000", "28P01", "3D000", "42501", "42704", "55P02"}
REFUSE_STATEMENTS = [
    "08006", "08P01", "25006", "25P03", "28000", "3D000", "40001", "40P01", "53100", "53200", "53300", "55000", "55006",
    "55P03", "57014", "57P01", "57P03", "58030", "XX000", "XX001", "XX002",
]  # fmt: skip
FAULTS_OF_OURS = ["22003", "22P02", "23502", "23505", "23514", "25P02", "42601", "42703", "42883", "42P01", "54001"]
GARBAGE = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"R\0\0\0", b"E\0\0\0\4", b"R\0\0\0\x08\0\0\0\x63", b"\xff" * 64]


class Wired(NamedTuple):
    """A database through a wire on which errors can be injected."""

    wire: PostgresWire
    through: PostgresDatabase


def with_port(url: str, port: int) -> str:
    """Return a database's URL with another port."""
    return make_url(url).set(port=port).render_as_string(hide_password=False)


def select_count() -> Transaction[int]:
    rows = yield from run_sql("SELECT count(*) FROM users")
    return int(rows[0][0])


async def write(database: Database) -> None:
    await database.write(process_leases.heartbeat, "01900000-0000-7000-8000-000000000000", 1)


async def write_in_session(database: Database) -> None:
    await database.write_in_session(process_leases.heartbeat, "01900000-0000-7000-8000-000000000000", 1)


async def read(database: Database) -> None:
    await database.read(select_count)


async def read_snapshot(database: Database) -> None:
    await database.read_snapshot(select_count)


async def read_session(database: Database) -> None:
    async with database.read_session() as session:
        await session.execute(text("SELECT count(*) FROM users"))


async def write_session(database: Database) -> None:
    async with database.write_session() as session:
        await session.execute(text("DELETE FROM processes"))


USES = [write, read, read_snapshot, read_session, write_session]


@pytest.fixture(scope="module")
def url(postgres_template: PostgresTemplate) -> Iterator[str]:
    """One database for all tests, because none of them keeps anything."""
    with postgres_template.copy() as copied:
        yield copied


@pytest.fixture
async def wired(cluster: PostgresCluster, url: str) -> AsyncIterator[Wired]:
    async with PostgresWire(cluster.port) as wire:
        through = PostgresDatabase(parse(with_port(url, wire.port)), pool_size=2)
        yield Wired(wire, through)
        await through.close()


async def unavailable(use: Use, database: Database) -> DatabaseUnavailable:
    """Return the error of a use that fails because of an outage."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await use(database)
    assert caught.value.reason
    assert caught.value.detail == "The database is unavailable; retry later."
    return caught.value


@pytest.mark.parametrize("use", USES)
async def test_refused_connection_is_outage(wired: Wired, use: Use) -> None:
    """Any code with which a server refuses a connection is an outage; the next use connects again."""
    for code in REFUSE_CONNECTIONS:
        wired.wire.refuse_connections(error_response(code))
        await wired.through.close()
        error = await unavailable(use, wired.through)
        assert f"({code})" in str(error.reason)
        assert error.transient == (code not in LASTING), code
        wired.wire.release()
        await use(wired.through)


@pytest.mark.parametrize("use", USES)
async def test_garbage_from_server_is_outage(wired: Wired, use: Use) -> None:
    """A port that closes, stops within a message or uses another protocol is an outage."""
    for answer in GARBAGE:
        wired.wire.refuse_connections(answer)
        await wired.through.close()
        await unavailable(use, wired.through)
        wired.wire.release()
        await use(wired.through)


@pytest.mark.parametrize("use", USES)
async def test_missing_server_is_outage(use: Use) -> None:
    """A port without a listener and a host name without an address are transient outages."""
    for place in ("127.0.0.1:1", "nowhere.invalid"):
        database = PostgresDatabase(parse(f"postgresql://parley@{place}/parley"), pool_size=1)
        assert (await unavailable(use, database)).transient
        await database.close()


@pytest.mark.parametrize("use", USES)
async def test_refused_statement_is_outage(wired: Wired, use: Use) -> None:
    """Codes that no statement causes are an outage, after which the connection is clean."""
    await use(wired.through)
    for code in REFUSE_STATEMENTS:
        wired.wire.refuse_statements(code)
        error = await unavailable(use, wired.through)
        assert f"({code})" in str(error.reason)
        wired.wire.release()
        await use(wired.through)


@pytest.mark.parametrize("use", USES)
async def test_fatal_error_is_outage(wired: Wired, use: Use) -> None:
    """A fatal error is an outage whatever its code, and the next use has another connection at once."""
    await use(wired.through)
    for code in ("57P01", "25P03", "57P05", "42501"):
        wired.wire.refuse_statements(code, FATAL)
        await unavailable(use, wired.through)
        wired.wire.release()
        await use(wired.through)


@pytest.mark.parametrize("use", USES)
async def test_wrong_statement_is_no_outage(wired: Wired, use: Use) -> None:
    """Codes of a wrong statement are raised as the driver's own errors."""
    await use(wired.through)
    for code in FAULTS_OF_OURS:
        wired.wire.refuse_statements(code)
        with pytest.raises((asyncpg.PostgresError, exc.DBAPIError)):
            await use(wired.through)
        wired.wire.release()
        await use(wired.through)


async def test_value_out_of_range_is_no_outage(wired: Wired) -> None:
    """A value that asyncpg refuses before the server gets it is raised as the driver's own error."""

    def too_large() -> Transaction[None]:
        yield from run_sql("SELECT CAST($1 AS integer)", 2**40)

    with pytest.raises(asyncpg.DataError, match="int32"):
        await wired.through.read(too_large)


async def test_deadlock_is_retried_once(wired: Wired) -> None:
    """A transaction that was rolled back in favour of another is retried once before it fails."""
    for use, code in itertools.product((write, write_in_session), ("40001", "40P01")):
        await use(wired.through)
        wired.wire.refuse_statements(code)
        before = wired.wire.refused
        await unavailable(use, wired.through)
        assert wired.wire.refused == before + 2
        wired.wire.release()


async def test_failover_replaces_all_connections(wired: Wired, cluster: PostgresCluster, url: str) -> None:
    """Writes to a read-only server are refused; afterwards none of its connections is used again."""
    name = make_url(url).database
    for use in (write, write_session):
        await wired.through.close()
        cluster.psql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await asyncio.gather(read(wired.through), read(wired.through))
        error = await unavailable(use, wired.through)
        cluster.psql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        assert "(25006)" in str(error.reason)
        await asyncio.gather(*(use(wired.through) for use in (write, write_session, read_session, read)))


async def test_failed_over_transaction_is_retried(wired: Wired, cluster: PostgresCluster, url: str) -> None:
    """A write on a connection to a server that has become read-only is retried at the primary."""
    name = make_url(url).database
    for use in (write, write_in_session):
        await wired.through.close()
        cluster.psql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await read(wired.through)
        cluster.psql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        await use(wired.through)


async def test_primary_is_used_of_several_hosts(wired: Wired, cluster: PostgresCluster, url: str) -> None:
    """A standby among the hosts of a URL is skipped, wherever it stands."""
    wired.wire.standby = True
    standby, primary = (f"127.0.0.1:{port}" for port in (wired.wire.port, cluster.port))
    database = PostgresDatabase(parse(url.replace(primary, f"{standby},{primary}")), pool_size=1)
    await write(database)
    await database.close()
    alone = with_port(url, wired.wire.port) + "?target_session_attrs=read-write"
    database = PostgresDatabase(parse(alone), pool_size=1)
    assert (await unavailable(write, database)).transient
    await database.close()


def test_cyclic_causes_end() -> None:
    """A chain of causes that is a ring, as drivers make them, is read once."""
    first, second = OSError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert list(causes(first)) == [first, second]


async def test_start_reports_server_error(wired: Wired) -> None:
    """A schema's upgrade, with which a start begins, fails with the server's own message."""
    for code in ("57P03", "28P01"):
        wired.wire.refuse_connections(error_response(code))
        assert f"not now ({code})" == (await unavailable(schema.upgrade, wired.through)).reason


async def test_reason_has_no_password(cluster: PostgresCluster) -> None:
    """A password that a server or a pooler repeats in its error is masked."""
    async with PostgresWire(cluster.port) as wire:
        wire.refuse_connections(error_response("08006", text="cannot reach postgres://parley:hunter2@db"))
        database = PostgresDatabase(parse(f"postgresql://parley:hunter2@127.0.0.1:{wire.port}/parley"), pool_size=1)
        error = await unavailable(read, database)
        assert error.reason == "cannot reach postgres://parley:***@db (08006)"
        await database.close()
