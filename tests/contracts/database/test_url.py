"""Parameters of a PostgreSQL URL, as a real server gets them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from app.db.connect import connect
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from tests.support.postgres import PostgresCluster
from tests.support.sql import run_sql

PASSWORD = "p@ss/w:rd?#%&= '\"\\é"


def value(sql: str) -> Transaction[str]:
    return str((yield from run_sql(sql))[0][0])


async def query(url: str, sql: str) -> str:
    """Return the first value of a statement on the server behind a URL."""
    database = connect(url, pool_size=1)
    try:
        return await database.read(value, sql)
    finally:
        await database.close()


async def connection_error(url: str) -> DatabaseUnavailable:
    """Return the error for a URL that cannot be used."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await query(url, "SELECT 1")
    return caught.value


@pytest.fixture(scope="module")
def place(cluster: PostgresCluster) -> str:
    """Host and port of the cluster."""
    return f"127.0.0.1:{cluster.port}"


@pytest.fixture(scope="module")
def silent_host() -> Iterator[str]:
    """Host and port of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_session_settings(place: str) -> None:
    """`application_name` and `options` apply to the session; the rest has the service's own values."""
    url = f"postgres://postgres@{place}/postgres"
    assert await query(url, "SHOW application_name") == "parley"
    assert await query(url, "SHOW statement_timeout") == "5s"
    assert await query(url, "SHOW hnsw.iterative_scan") == "strict_order"
    assert await query(f"{url}?application_name=wörker%202", "SHOW application_name") == "w\\xc3\\xb6rker 2"
    options = quote(r"-c search_path=pg_catalog,\ public --statement_timeout=7000 -c work_mem=8MB -c a.b=it's\\")
    for name, expected in {
        "search_path": "pg_catalog, public",
        "statement_timeout": "7s",
        "work_mem": "8MB",
        "a.b": "it's\\",
    }.items():
        assert await query(f"{url}?options={options}", f"SHOW {name}") == expected


async def test_unknown_setting_is_reported(place: str) -> None:
    """The error is the server's own message, and not transient."""
    error = await connection_error(f"postgresql://postgres@{place}/postgres?options=-c%20nonsense%3D1")
    assert error.reason == 'unrecognized configuration parameter "nonsense" (42704)'
    assert not error.transient


async def test_other_options_are_passed_on(place: str) -> None:
    """Options for a proxy reach the server, which reports those that it does not know."""
    error = await connection_error(f"postgresql://postgres@{place}/postgres?options=endpoint%3Dep-a")
    assert "endpoint=ep-a" in str(error.reason)


async def test_socket_directory(cluster: PostgresCluster) -> None:
    """A Unix socket's directory is a parameter, or the percent-encoded host."""
    directory = str(cluster.socket_directory)
    for url in (
        f"postgresql:///postgres?host={directory}&port={cluster.port}&user=postgres",
        f"postgresql://postgres@{quote(directory, safe='')}:{cluster.port}/postgres",
        f"postgresql://postgres@/postgres?host={directory}&port={cluster.port}&sslmode=require",
    ):
        assert await query(url, "SELECT inet_server_addr() IS NULL") == "True"


async def test_login(cluster: PostgresCluster, place: str) -> None:
    """User and password are percent-encoded; the error names a wrong password, role or database."""
    cluster.create_login("lo gin", PASSWORD)
    login = f"lo%20gin:{quote(PASSWORD, safe='')}"
    assert await query(f"postgresql://{login}@{place}/postgres", "SELECT current_user") == "lo gin"
    given = f"user=lo%20gin&password={quote(PASSWORD, safe='')}&dbname=postgres"
    assert await query(f"postgresql://{place}?{given}", "SELECT current_user") == "lo gin"
    for url, reason in {
        f"postgresql://lo%20gin:hunter2@{place}/postgres": 'password authentication failed for user "lo gin" (28P01)',
        f"postgresql://nobody:hunter2@{place}/postgres": 'role "nobody" does not exist (28000)',
        f"postgresql://{login}@{place}/nowhere": 'database "nowhere" does not exist (3D000)',
    }.items():
        error = await connection_error(url)
        assert error.reason == reason
        assert not error.transient


async def test_silent_host_is_skipped(place: str, silent_host: str) -> None:
    """Each of several hosts has `connect_timeout` for itself."""
    url = f"postgresql://postgres@{silent_host},{place}/postgres?connect_timeout=1"
    assert await query(url, "SELECT 1") == "1"


async def test_error_names_every_host(place: str, silent_host: str) -> None:
    """If no host can be used the error has one reason for each."""
    url = f"postgresql://postgres@{silent_host},{place}/postgres?connect_timeout=1&target_session_attrs=standby"
    error = await connection_error(url)
    assert error.transient
    assert error.reason is not None
    first, second = error.reason.split("; ")
    assert first == "127.0.0.1: no answer in time"
    assert "standby" in second


async def test_preferred_standby_may_be_missing(place: str) -> None:
    """`prefer-standby` falls back to any server; `load_balance_hosts` changes only their order."""
    url = f"postgresql://postgres@{place},{place}/postgres?load_balance_hosts=random&target_session_attrs="
    for attributes in ("prefer-standby", "primary", "any"):
        assert await query(url + attributes, "SELECT 1") == "1"


async def test_channel_binding_is_warned_about(place: str, caplog: pytest.LogCaptureFixture) -> None:
    """`channel_binding=require` connects with a warning, because it is not checked."""
    await query(f"postgresql://postgres@{place}/postgres?channel_binding=require", "SELECT 1")
    assert "sslmode=verify-full gives as much" in caplog.text
