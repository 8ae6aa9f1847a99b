"""Starts while PostgreSQL is not ready, and while it will never be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import make_url

from app.db import schema
from tests.live.talk import make
from tests.support.databases import PostgresTemplate
from tests.support.postgres import PostgresCluster
from tests.support.postgres_wire import PostgresWire, error_response
from tests.support.process import PARLEY, SERVE, UVICORN, guarded, launched, parley_command, parley_process

REFUSED = 2
PRIVILEGES = (
    "The database's user may not read or change its schema: {}. "
    "Grant the privilege, or set another user or search_path in DATABASE_URL."
)
ENDED_BY = {signal.SIGTERM: {-signal.SIGTERM, 0}, signal.SIGINT: {-signal.SIGINT, 0}}
END_SECONDS = 60
UVICORN_SERVES = (*UVICORN, "app.main:app", "--port", "0")
SERVERS = {
    "serve": SERVE,
    "uvicorn": UVICORN_SERVES,
    "workers": (*UVICORN_SERVES, "--workers", "2"),
    "migrate": (*PARLEY, "migrate"),
}


class Behind(NamedTuple):
    """A database behind the wire, and the settings that name it with a password."""

    wire: PostgresWire
    settings: dict[str, Any]


@pytest.fixture(scope="module")
def url(postgres_template: PostgresTemplate) -> Iterator[str]:
    with postgres_template.copy() as made:
        yield made


@pytest.fixture
async def behind(cluster: PostgresCluster, url: str) -> AsyncIterator[Behind]:
    async with PostgresWire(cluster.port) as wire:
        far = make_url(url).set(password="hunter2", port=wire.port).render_as_string(hide_password=False)
        yield Behind(wire, {"database_url": far, "llm_provider": "scripted"})


async def test_a_database_that_is_not_ready_is_waited_for(tmp_path: Path, behind: Behind) -> None:
    """Each command goes on when the database is ready; until then a line of the log says what it waits for."""
    behind.wire.refuse_connections(error_response("57P03", text="the database system is starting up"))
    commands = asyncio.gather(*(parley_command(tmp_path, each, **behind.settings) for each in ("migrate", "check")))
    async with contextlib.AsyncExitStack() as stack:
        serving = asyncio.create_task(stack.enter_async_context(parley_process(tmp_path, **behind.settings)))
        await behind.wire.refusals(12)  # some of each
        behind.wire.refuse_connections(error_response("53300", text="sorry, too many clients already"))
        await behind.wire.refusals(6)
        behind.wire.release()
        parley = await serving
        await make(parley, message="Hello")
        waiting = [line for line in parley.log if line["level"] == "warning"]
    migrated, checked = await commands
    assert (migrated.returncode, migrated.stdout) == (0, f"schema {schema.HEAD}\n")
    assert checked.stdout.splitlines()[-1].endswith("broken invariants")
    waiting += [json.loads(line) for done in (migrated, checked) for line in done.stderr.splitlines()]
    assert len(waiting) >= 3
    for line in waiting:
        assert line["event"].startswith("waiting for the database: ")
        assert "(57P03)" in line["event"] or "(53300)" in line["event"]
        assert "hunter2" not in str(line)


@pytest.mark.parametrize("code", ["28P01", "3D000", "42704"])
async def test_a_database_that_refuses_for_good_ends_the_start(tmp_path: Path, behind: Behind, code: str) -> None:
    """Where waiting does not help a command ends at once, with one line and without the password."""
    behind.wire.refuse_connections(error_response(code, text="no, parley:hunter2"))
    names = ("serve", "migrate", "check") if code == "3D000" else ("serve",)
    for refused in await asyncio.gather(*(parley_command(tmp_path, each, **behind.settings) for each in names)):
        assert_refused(refused, f"The database cannot be used: no, parley:*** ({code})")


async def test_a_parameter_that_is_not_known_ends_the_start(tmp_path: Path, behind: Behind) -> None:
    """A parameter of the URL that is none of libpq's is named."""
    settings = behind.settings | {"database_url": f"{behind.settings['database_url']}?sslmod=require"}
    refused = await parley_command(tmp_path, "serve", **settings)
    assert (refused.returncode, refused.stdout) == (REFUSED, "")
    assert refused.stderr.startswith("parley: DATABASE_URL")
    assert refused.stderr.endswith("has unknown parameters: sslmod.\n")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://parley:hunter2/parley",
        "postgresql://parley:hunter2@127.0.0.1:port/parley",
        "postgresql://parley:hunter2@127.0.0.1/parley?port=port",
        "postgresql://parley:hunter2@127.0.0.1:99999/parley",
    ],
)
async def test_a_url_that_cannot_be_read_ends_the_start(tmp_path: Path, url: str) -> None:
    """What is wrong with a URL is said in one line, without the password that may stand in a wrong place."""
    refused = await parley_command(tmp_path, "migrate", database_url=url)
    encoded = "in names and passwords write : / ? # @ as %3A %2F %3F %23 %40"
    assert_refused(refused, f"DATABASE_URL has a port that is not a number from 1 to 65535; {encoded}.")


async def test_a_user_who_may_read_nothing_is_named(tmp_path: Path, cluster: PostgresCluster, url: str) -> None:
    """A migrated database of somebody else ends the start with a line that says so."""
    cluster.psql("CREATE ROLE visitor LOGIN")
    try:
        refused = await parley_command(tmp_path, "serve", database_url=url.replace("postgres@", "visitor@"))
    finally:
        cluster.psql("DROP ROLE visitor")
    why = "permission denied for table alembic_version"
    assert_refused(refused, PRIVILEGES.format(why))


async def test_a_user_without_privileges_is_named(tmp_path: Path, cluster: PostgresCluster) -> None:
    """An empty database whose user may not make tables ends the start with a line that says so."""
    cluster.create_database("unprivileged")
    cluster.psql("CREATE ROLE visitor LOGIN")
    try:
        url = cluster.url("unprivileged").replace("postgres@", "visitor@")
        refused = await parley_command(tmp_path, "migrate", database_url=url)
    finally:
        cluster.drop_database("unprivileged")
        cluster.psql("DROP ROLE visitor")
    assert_refused(refused, PRIVILEGES.format("permission denied for schema public"))


async def test_a_search_path_without_a_schema_is_named(tmp_path: Path, cluster: PostgresCluster) -> None:
    """A database whose search_path names no schema that is there ends the start with a line that says so."""
    cluster.create_database("pathless")
    try:
        url = f"{cluster.url('pathless')}?options=-c%20search_path%3Dabsent"
        refused = await parley_command(tmp_path, "migrate", database_url=url)
    finally:
        cluster.drop_database("pathless")
    why = "no schema has been selected to create in"
    assert_refused(refused, PRIVILEGES.format(why))


@pytest.mark.parametrize(
    ("server", "number"), [*((each, signal.SIGTERM) for each in SERVERS), ("serve", signal.SIGINT)]
)
async def test_a_start_that_waits_ends_with_a_signal(
    tmp_path: Path, behind: Behind, server: str, number: signal.Signals
) -> None:
    """Whoever waits for the database ends with the signal, not a minute later, and prints no stack."""
    behind.wire.refuse_connections(error_response("57P03"))
    with waiting(tmp_path, SERVERS[server], behind.settings) as process:
        await behind.wire.refusals(3)
        process.send_signal(number)
        _, logged = await asyncio.to_thread(process.communicate, timeout=END_SECONDS)
    assert process.returncode in ENDED_BY[number], logged
    assert "Traceback" not in logged


@contextlib.contextmanager
def waiting(directory: Path, command: Sequence[str], settings: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not serve yet; killed at the end, with its workers."""
    with guarded(launched(directory, command, settings, {})) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def assert_refused(refused: subprocess.CompletedProcess[str], why: str) -> None:
    """Looks at a command that could not run: a status, and one line."""
    assert (refused.returncode, refused.stdout, refused.stderr) == (REFUSED, "", f"parley: {why}\n")


async def test_a_file_that_is_no_database_ends_the_start(tmp_path: Path) -> None:
    """The same goes for SQLite: a file of something else is named as what it is not, and stays as it is."""
    (tmp_path / "notes.txt").write_text("nonsense " * 1_000)
    refused = await parley_command(tmp_path, "serve", database_url=f"sqlite:///{tmp_path}/notes.txt")
    assert_refused(refused, "The database cannot be used: file is not a database (SQLITE_NOTADB)")
