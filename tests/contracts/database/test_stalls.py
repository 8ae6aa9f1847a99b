"""PostgreSQL behind a network that stalls for longer than a statement may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url, text

from app.db.connect import connect
from app.db.database import Database
from app.db.postgres.database import PostgresDatabase
from app.db.postgres.url import parse
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from tests.support.databases import PostgresTemplate
from tests.support.postgres import PostgresCluster
from tests.support.proxy import TcpProxy
from tests.support.sql import run_sql

STATEMENT_SECONDS = 0.2


class Stalled:
    """A database with one connection through a proxy, and the same database without it."""

    def __init__(self, proxy: TcpProxy, through: Database, direct: Database) -> None:
        self.proxy = proxy
        self.through = through
        self.direct = direct

    async def names(self) -> list[str]:
        """The users that others see."""
        return await self.direct.read(names)


def add_user(name: str) -> Transaction[None]:
    """Store a user."""
    yield from run_sql("INSERT INTO users (id, user_id, created_at) VALUES (gen_random_uuid(), $1, 1)", name)


def names() -> Transaction[list[str]]:
    """The ids of all users."""
    return [row[0] for row in (yield from run_sql("SELECT user_id FROM users ORDER BY user_id"))]


@pytest.fixture
async def stalled(cluster: PostgresCluster, postgres_template: PostgresTemplate) -> AsyncIterator[Stalled]:
    with postgres_template.copy() as url:
        async with TcpProxy(cluster.port) as proxy:
            far = make_url(url).set(port=proxy.port).render_as_string(hide_password=False)
            through = PostgresDatabase(parse(far), pool_size=1, statement_seconds=STATEMENT_SECONDS)
            direct = connect(url, pool_size=1)
            yield Stalled(proxy, through, direct)
            await through.close()
            await direct.close()


async def test_write_after_stalled_write(stalled: Stalled) -> None:
    """A connection that was abandoned within a transaction is not used for the next one."""

    def given_up() -> Transaction[None]:
        yield from add_user("first")
        stalled.proxy.stall()
        yield from add_user("second")

    with pytest.raises(DatabaseUnavailable):
        await stalled.through.write(given_up)
    stalled.proxy.resume()
    await stalled.through.write(add_user, "third")
    assert await stalled.names() == ["third"]


async def test_write_after_late_recovery(stalled: Stalled) -> None:
    """A connection that recovers while it is being abandoned is not used again."""

    def given_up() -> Transaction[None]:
        yield from add_user("first")
        stalled.proxy.stall()
        yield from add_user("second")

    asyncio.get_running_loop().call_later(STATEMENT_SECONDS + 1.4, stalled.proxy.resume)
    with pytest.raises(DatabaseUnavailable):
        await stalled.through.write(given_up)
    await stalled.through.write(add_user, "third")
    assert await stalled.names() == ["third"]


async def test_write_after_stalled_read(stalled: Stalled) -> None:
    """A connection whose read was abandoned is not used again."""
    await stalled.through.read(names)
    stalled.proxy.stall()
    with pytest.raises(DatabaseUnavailable):
        await stalled.through.read(names)
    stalled.proxy.resume()
    await stalled.through.write(add_user, "third")
    assert await stalled.names() == ["third"]


async def test_write_after_stalled_session(stalled: Stalled) -> None:
    """A connection whose session was abandoned before its first answer is not used again."""
    await stalled.through.read(names)
    stalled.proxy.stall()
    asyncio.get_running_loop().call_later(STATEMENT_SECONDS + 1.4, stalled.proxy.resume)
    with pytest.raises(DatabaseUnavailable):
        async with stalled.through.read_session() as session:
            await session.execute(text("SELECT 1"))
    await stalled.through.write(add_user, "third")
    await stalled.through.write(add_user, "fourth")
    assert await stalled.names() == ["fourth", "third"]


async def test_write_after_stalled_write_session(stalled: Stalled) -> None:
    """A connection whose writing session was abandoned is not used again."""
    with pytest.raises(DatabaseUnavailable):
        async with stalled.through.write_session() as session:
            await session.execute(text("SELECT 1"))
            stalled.proxy.stall()
            await session.execute(text("SELECT 2"))
    stalled.proxy.resume()
    await stalled.through.write(add_user, "third")
    assert await stalled.names() == ["third"]


async def test_cancelled_write_in_stall(stalled: Stalled) -> None:
    """A cancelled call does not wait for the network, and the next transaction has another connection."""

    def given_up() -> Transaction[None]:
        yield from add_user("first")
        stalled.proxy.stall()
        yield from add_user("second")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await stalled.through.write(given_up)
    stalled.proxy.resume()
    await stalled.through.write(add_user, "third")
    assert await stalled.names() == ["third"]
