"""Temporary outages of databases while turns run and other processes are well."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import make_url

from tests.support.databases import PostgresTemplate, SqliteTemplate
from tests.support.parley_client import messages_path
from tests.support.postgres import PostgresCluster
from tests.support.postgres_wire import FATAL, PostgresWire, error_response
from tests.support.problems import expect_problem
from tests.support.process import Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.stored import stored_messages

ROLE = "parley_outages"
BACKENDS = f"SELECT pid FROM pg_stat_activity WHERE usename = '{ROLE}' AND backend_type = 'client backend'"
TERMINATE = f"SELECT pg_terminate_backend(pid) FROM ({BACKENDS}) AS those"
GRANTS = f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE}"
AT_CONNECT = ["08P01", "28P01", "3D000", "42704", "53300", "55000", "57P03"]
AT_STATEMENTS = [("25006", "ERROR"), ("53100", "ERROR"), ("57P01", FATAL), ("XX000", "ERROR")]


class Outage(NamedTuple):
    """Functions that make a database unavailable and available again; both may block."""

    begin: Callable[[], object]
    end: Callable[[], object]
    readable: bool = False
    """True if reads succeed meanwhile."""
    over: bool = False
    """True if it ends by itself, perhaps before any request is refused."""


class Pair(NamedTuple):
    """Two processes on one database: one behind a wire, with a role of its own, and one that is well."""

    parley: Parley
    well: Parley
    wire: PostgresWire
    provider: FakeProvider
    name: str


@pytest.fixture
async def pair(
    tmp_path: Path, cluster: PostgresCluster, postgres_template: PostgresTemplate, provider: FakeProvider
) -> AsyncIterator[Pair]:
    configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    async with contextlib.AsyncExitStack() as stack:
        url = make_url(stack.enter_context(postgres_template.copy()))
        name = str(url.database)
        cluster.psql(f"CREATE ROLE {ROLE} LOGIN")
        stack.callback(cluster.psql, f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")
        cluster.psql(GRANTS, name)
        stack.callback(cluster.psql, f"DROP OWNED BY {ROLE}", name)
        wire = await stack.enter_async_context(PostgresWire(cluster.port))
        far = url.set(username=ROLE, port=wire.port)
        starts = [
            stack.enter_async_context(parley_process(tmp_path, database_url=each.render_as_string(), **configured))
            for each in (far, url)
        ]
        parley, well = await asyncio.gather(*starts)
        yield Pair(parley, well, wire, provider, name)


def wire_outages(wire: PostgresWire) -> dict[str, Outage]:
    """Return outages in which the server answers with each of the codes."""

    def refuse(code: str) -> None:
        wire.refuse_connections(error_response(code))
        wire.drop()

    outages = {code: Outage(lambda code=code: refuse(code), wire.release) for code in AT_CONNECT}  # type: ignore[misc]
    for code, severity in AT_STATEMENTS:
        outages[f"{severity} {code}"] = Outage(
            lambda code=code, severity=severity: wire.refuse_statements(code, severity),  # type: ignore[misc]
            wire.release,
        )
    return outages


def server_outages(cluster: PostgresCluster, name: str) -> dict[str, Outage]:
    """Return outages that operators, failovers and crashes cause at a real server."""

    def altered(begin: str, end: str, *, readable: bool = False) -> Outage:
        return Outage(lambda: cluster.psql(f"{begin}; {TERMINATE}"), lambda: cluster.psql(end), readable)

    def crash() -> None:
        os.kill(int(cluster.psql(BACKENDS).splitlines()[0]), signal.SIGKILL)

    role, database = f"ALTER ROLE {ROLE}", f'ALTER DATABASE "{name}"'
    return {
        "connection limit": altered(f"{role} CONNECTION LIMIT 0", f"{role} CONNECTION LIMIT -1"),
        "no login": altered(f"{role} NOLOGIN", f"{role} LOGIN"),
        "no connections": altered(f"{database} ALLOW_CONNECTIONS false", f"{database} ALLOW_CONNECTIONS true"),
        "read-only": altered(
            f"{role} SET default_transaction_read_only = on",
            f"{role} RESET default_transaction_read_only",
            readable=True,
        ),
        "terminated": Outage(lambda: cluster.psql(TERMINATE), lambda: None, over=True),
        "crashed": Outage(crash, lambda: None, over=True),
    }


async def expect_outage(parley: Parley, conversation: dict[str, Any], outage: Outage) -> None:
    """Check the answers during an outage."""
    expect_problem(await parley.client.post_message(conversation, "Refused"), 503, "database-unavailable")
    expect_problem(await parley.client.post("/users", json={"user_id": "bob"}), 503, "database-unavailable")
    for path in ("/readyz", messages_path(conversation)):
        answer = await parley.client.get(path)
        if outage.readable:
            assert answer.status_code == 200
        else:
            expect_problem(answer, 503, "database-unavailable")
    assert await parley.answers("/livez")


async def expect_recovery(parley: Parley, well: Parley, provider: FakeProvider, outage: Outage, case: str) -> None:
    """Check an outage that begins during a turn and ends before the process's lease expires."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    conversation, other = await parley.client.create_conversation(), await parley.client.create_conversation()
    calls = len(provider.calls)
    post = asyncio.create_task(parley.client.post_message(conversation, f"Hello, {case}"))
    await provider.wait_calls(calls + 1)
    await well.client.wait_for_messages(conversation, lambda found: found[1]["content"] == "Half ", seconds=60)
    await asyncio.to_thread(outage.begin)
    gate.set()  # the model is done while the reply cannot be stored
    await provider.calls[-1].finished.wait()
    if not outage.over:
        await expect_outage(parley, other, outage)
    await asyncio.to_thread(outage.end)
    answer = await post
    assert (answer.status_code, answer.json().get("assistant_reply")) == (201, "Half whole"), case
    await asyncio.gather(parley.wait_until_ready(), well.wait_until_ready())
    assert (await parley.client.send(other, "Again"))["assistant_reply"] == "Echo: Again"
    found = await well.client.get_messages(conversation)
    assert [(each["status"], each["content"]) for each in found] == [
        ("completed", f"Hello, {case}"),
        ("completed", "Half whole"),
    ], case
    assert len(await well.client.get_messages(other)) == 2, case


async def test_postgresql_outages(pair: Pair, cluster: PostgresCluster) -> None:
    """During an outage requests are 503; afterwards the service recovers and the running reply is stored once."""
    for case, outage in {**wire_outages(pair.wire), **server_outages(cluster, pair.name)}.items():
        await expect_recovery(pair.parley, pair.well, pair.provider, outage, case)
    assert "Traceback" not in str(pair.parley.lines)


async def test_sqlite_outages(tmp_path: Path, sqlite_template: SqliteTemplate, provider: FakeProvider) -> None:
    """A moved file and a full disk are survived in the same way."""
    configured: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
    with sqlite_template.copy() as url:
        file = Path(url.removeprefix("sqlite:///"))
        elsewhere = file.with_name("elsewhere.db")
        async with parley_process(tmp_path, database_url=url, **configured) as parley:
            limits = resource.prlimit(parley.process.pid, resource.RLIMIT_FSIZE)

            def limit(size: int) -> None:
                resource.prlimit(parley.process.pid, resource.RLIMIT_FSIZE, (size, limits[1]))

            gone = Outage(lambda: file.rename(elsewhere), lambda: elsewhere.rename(file))
            full = Outage(lambda: limit(0), lambda: limit(limits[0]), readable=True)
            await expect_recovery(parley, parley, provider, gone, "gone")
            await expect_recovery(parley, parley, provider, full, "full")
            found = await stored_messages(url)
        assert {each.status for each in found} == {"completed"}
        assert "Traceback" not in str(parley.lines)
