"""Starts while PostgreSQL is not ready, or refuses permanently."""

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
    """A database behind a wire, and settings that name it with a password."""

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


async def test_start_waits_for_the_database(tmp_path: Path, behind: Behind) -> None:
    """Each command continues when the database is ready; until then a log line says why it waits."""
    behind.wire.refuse_connections(error_response("57P03", text="the database system is starting up"))
    commands = asyncio.gather(*(parley_command(tmp_path, each, **behind.settings) for each in ("migrate", "check")))
    async with contextlib.AsyncExitStack() as stack:
        serving = asyncio.create_task(stack.enter_async_context(parley_process(tmp_path, **behind.settings)))
        await behind.wire.refusals(12)  # some of each
        behind.wire.refuse_connections(error_response("53300", text="sorry, too many clients already"))
        await behind.wire.refusals(6)
        behind.wire.release()
        parley = await serving
        await parley.client.create_conversation(message="Hello")
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
async def test_permanent_refusal_ends_the_start(tmp_path: Path, behind: Behind, code: str) -> None:
    """A refusal that waiting cannot change ends a command at once with one line without the password."""
    behind.wire.refuse_connections(error_response(code, text="no, parley:hunter2"))
    names = ("serve", "migrate", "check") if code == "3D000" else ("serve",)
    for refused in await asyncio.gather(*(parley_command(tmp_path, each, **behind.settings) for each in names)):
        assert_refused(refused, f"The database cannot be used: no, parley:*** ({code})")


async def test_unknown_parameter_is_named(tmp_path: Path, behind: Behind) -> None:
    """A parameter of the URL that libpq does not have is named."""
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
async def test_unparsable_url_ends_the_start(tmp_path: Path, url: str) -> None:
    """A URL that cannot be parsed is explained in one line without the misplaced password."""
    refused = await parley_command(tmp_path, "migrate", database_url=url)
    encoded = "in names and passwords write : / ? # @ as %3A %2F %3F %23 %40"
    assert_refused(refused, f"DATABASE_URL has a port that is not a number from 1 to 65535; {encoded}.")


async def test_user_without_select_is_named(tmp_path: Path, cluster: PostgresCluster, url: str) -> None:
    """A migrated database that the user may not read ends the start with a line that says so."""
    cluster.psql("CREATE ROLE visitor LOGIN")
    try:
        refused = await parley_command(tmp_path, "serve", database_url=url.replace("postgres@", "visitor@"))
    finally:
        cluster.psql("DROP ROLE visitor")
    why = "permission denied for table alembic_version"
    assert_refused(refused, PRIVILEGES.format(why))


async def test_user_without_create_is_named(tmp_path: Path, cluster: PostgresCluster) -> None:
    """An empty database in which the user may not create tables ends the start with a line that says so."""
    cluster.create_database("unprivileged")
    cluster.psql("CREATE ROLE visitor LOGIN")
    try:
        url = cluster.url("unprivileged").replace("postgres@", "visitor@")
        refused = await parley_command(tmp_path, "migrate", database_url=url)
    finally:
        cluster.drop_database("unprivileged")
        cluster.psql("DROP ROLE visitor")
    assert_refused(refused, PRIVILEGES.format("permission denied for schema public"))


async def test_empty_search_path_is_named(tmp_path: Path, cluster: PostgresCluster) -> None:
    """A search_path without an existing schema ends the start with a line that says so."""
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
async def test_signal_ends_the_wait(tmp_path: Path, behind: Behind, server: str, number: signal.Signals) -> None:
    """A signal ends a start that waits for the database, without a traceback."""
    behind.wire.refuse_connections(error_response("57P03"))
    with waiting(tmp_path, SERVERS[server], behind.settings) as process:
        await behind.wire.refusals(3)
        process.send_signal(number)
        _, logged = await asyncio.to_thread(process.communicate, timeout=END_SECONDS)
    assert process.returncode in ENDED_BY[number], logged
    assert "Traceback" not in logged


@contextlib.contextmanager
def waiting(directory: Path, command: Sequence[str], settings: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """Start a process that cannot serve yet; kill it with its workers at the end."""
    with guarded(launched(directory, command, settings, {})) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def assert_refused(refused: subprocess.CompletedProcess[str], why: str) -> None:
    """Check that a command ended with status 2 and one line."""
    assert (refused.returncode, refused.stdout, refused.stderr) == (REFUSED, "", f"parley: {why}\n")


async def test_other_file_ends_the_start(tmp_path: Path) -> None:
    """A file that is no SQLite database ends the start with a line that says so, and is unchanged."""
    (tmp_path / "notes.txt").write_text("nonsense " * 1_000)
    refused = await parley_command(tmp_path, "serve", database_url=f"sqlite:///{tmp_path}/notes.txt")
    assert_refused(refused, "The database cannot be used: file is not a database (SQLITE_NOTADB)")
