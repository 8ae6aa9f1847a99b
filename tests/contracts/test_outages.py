"""What PostgreSQL answers instead of serving, code by code: at a connection's start and at statements."""

from __future__ import annotations

import asyncio
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
from app.db.transaction import Statement, Transaction
from app.errors import DatabaseUnavailable
from tests.support.databases import PostgresTemplate
from tests.support.postgres import PostgresCluster
from tests.support.postgres_wire import FATAL, PostgresWire, error_response

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
    """A small database behind the wire."""

    wire: PostgresWire
    through: PostgresDatabase


def at(url: str, port: int) -> str:
    """The same database at another port."""
    return make_url(url).set(port=port).render_as_string(hide_password=False)


def select_count() -> Transaction[int]:
    rows = yield Statement("SELECT count(*) FROM users")
    return int(rows[0][0])


async def write(database: Database) -> None:
    await database.write(process_leases.heartbeat, "01900000-0000-7000-8000-000000000000", 1)


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
    """One database for all, since nothing here is kept."""
    with postgres_template.copy() as made:
        yield made


@pytest.fixture
async def wired(cluster: PostgresCluster, url: str) -> AsyncIterator[Wired]:
    async with PostgresWire(cluster.port) as wire:
        through = PostgresDatabase(parse(at(url, wire.port)), pool_size=2)
        yield Wired(wire, through)
        await through.close()


async def unavailable(use: Use, database: Database) -> DatabaseUnavailable:
    """The error of a use that the database cannot serve, with a reason."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await use(database)
    assert caught.value.reason
    assert caught.value.detail == "The database is unavailable; retry later."
    return caught.value


@pytest.mark.parametrize("use", USES)
async def test_a_refused_connection_is_an_outage(wired: Wired, use: Use) -> None:
    """Whatever a server answers a new connection with, no request is to blame; afterwards all is well by itself."""
    for code in REFUSE_CONNECTIONS:
        wired.wire.refuse_connections(error_response(code))
        await wired.through.close()
        error = await unavailable(use, wired.through)
        assert f"({code})" in str(error.reason)
        assert error.transient == (code not in LASTING), code
        wired.wire.release()
        await use(wired.through)


@pytest.mark.parametrize("use", USES)
async def test_a_server_that_speaks_nothing_sensible_is_an_outage(wired: Wired, use: Use) -> None:
    """A port that closes, stops within a message or speaks another protocol is a database that cannot serve."""
    for answer in GARBAGE:
        wired.wire.refuse_connections(answer)
        await wired.through.close()
        await unavailable(use, wired.through)
        wired.wire.release()
        await use(wired.through)


@pytest.mark.parametrize("use", USES)
async def test_a_server_that_is_not_there_is_an_outage(use: Use) -> None:
    """A port where nobody listens, and a name that leads nowhere, may be a database's a moment later."""
    for place in ("127.0.0.1:1", "nowhere.invalid"):
        database = PostgresDatabase(parse(f"postgresql://parley@{place}/parley"), pool_size=1)
        assert (await unavailable(use, database)).transient
        await database.close()


@pytest.mark.parametrize("use", USES)
async def test_a_refused_statement_is_an_outage(wired: Wired, use: Use) -> None:
    """Codes that no statement is to blame for are an outage, and leave nothing behind on their connection."""
    await use(wired.through)
    for code in REFUSE_STATEMENTS:
        wired.wire.refuse_statements(code)
        error = await unavailable(use, wired.through)
        assert f"({code})" in str(error.reason)
        wired.wire.release()
        await use(wired.through)


@pytest.mark.parametrize("use", USES)
async def test_a_server_that_ends_the_connection_is_an_outage(wired: Wired, use: Use) -> None:
    """An error that is fatal is one whatever its code, and the next use has another connection at once."""
    await use(wired.through)
    for code in ("57P01", "25P03", "57P05", "42501"):
        wired.wire.refuse_statements(code, FATAL)
        await unavailable(use, wired.through)
        wired.wire.release()
        await use(wired.through)


@pytest.mark.parametrize("use", USES)
async def test_a_fault_of_ours_stays_one(wired: Wired, use: Use) -> None:
    """A statement that is wrong is not blamed on the database."""
    await use(wired.through)
    for code in FAULTS_OF_OURS:
        wired.wire.refuse_statements(code)
        with pytest.raises((asyncpg.PostgresError, exc.DBAPIError)):
            await use(wired.through)
        wired.wire.release()
        await use(wired.through)


async def test_a_value_that_does_not_fit_is_not_blamed_on_the_database(wired: Wired) -> None:
    """Asyncpg refuses a value before the server sees it, with an error of its client."""

    def too_large() -> Transaction[None]:
        yield Statement("SELECT $1::integer", (2**40,))

    with pytest.raises(asyncpg.DataError, match="int32"):
        await wired.through.read(too_large)


async def test_a_deadlock_is_run_again_once(wired: Wired) -> None:
    """A transaction that was rolled back in favour of another is retried once before it fails."""
    for code in ("40001", "40P01"):
        await write(wired.through)
        wired.wire.refuse_statements(code)
        before = wired.wire.refused
        await unavailable(write, wired.through)
        assert wired.wire.refused == before + 2
        wired.wire.release()


async def test_a_failover_is_survived_by_all_connections(wired: Wired, cluster: PostgresCluster, url: str) -> None:
    """While a server is read-only writes are refused; afterwards none of its connections is used for one more."""
    name = make_url(url).database
    for use in (write, write_session):
        await wired.through.close()
        cluster.psql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await asyncio.gather(read(wired.through), read(wired.through))
        error = await unavailable(use, wired.through)
        cluster.psql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        assert "(25006)" in str(error.reason)
        await asyncio.gather(*(use(wired.through) for use in (write, write_session, read_session, read)))


async def test_what_a_failover_undid_is_run_again(wired: Wired, cluster: PostgresCluster, url: str) -> None:
    """A transaction on a connection to a server that has become read-only is retried on a new one, to the primary."""
    name = make_url(url).database
    await wired.through.close()
    cluster.psql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await read(wired.through)
    cluster.psql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await write(wired.through)


async def test_of_several_hosts_the_primary_is_used(wired: Wired, cluster: PostgresCluster, url: str) -> None:
    """A URL with several hosts is for failovers: a standby among them is passed over, wherever it stands."""
    wired.wire.standby = True
    standby, primary = (f"127.0.0.1:{port}" for port in (wired.wire.port, cluster.port))
    database = PostgresDatabase(parse(url.replace(primary, f"{standby},{primary}")), pool_size=1)
    await write(database)
    await database.close()
    alone = at(url, wired.wire.port) + "?target_session_attrs=read-write"
    database = PostgresDatabase(parse(alone), pool_size=1)
    assert (await unavailable(write, database)).transient
    await database.close()


def test_errors_that_lead_back_into_themselves_are_read_once() -> None:
    """A chain of causes that is a ring, as drivers make them, has an end."""
    first, second = OSError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert list(causes(first)) == [first, second]


async def test_the_start_names_what_the_server_said(wired: Wired) -> None:
    """A schema's upgrade, which a start begins with, is refused like everything else."""
    for code in ("57P03", "28P01"):
        wired.wire.refuse_connections(error_response(code))
        assert f"not now ({code})" == (await unavailable(schema.upgrade, wired.through)).reason


async def test_no_password_is_in_a_reason(cluster: PostgresCluster) -> None:
    """A server, or a pooler before it, that repeats the password has it left out."""
    async with PostgresWire(cluster.port) as wire:
        wire.refuse_connections(error_response("08006", text="cannot reach postgres://parley:hunter2@db"))
        database = PostgresDatabase(parse(f"postgresql://parley:hunter2@127.0.0.1:{wire.port}/parley"), pool_size=1)
        error = await unavailable(read, database)
        assert error.reason == "cannot reach postgres://parley:***@db (08006)"
        await database.close()
