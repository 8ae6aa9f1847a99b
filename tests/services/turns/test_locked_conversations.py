"""Conversations whose rows another transaction keeps locked, on PostgreSQL, delay nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import httpx2
import pytest
from sqlalchemy import update

from app.db.models import MessageRow
from app.domain.ids import new_id
from tests.support.databases import PostgresTemplate
from tests.support.parley_client import conversation_path, messages_path
from tests.support.service import Service, serving, settings

LOCK_WAITERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
UNFINISHED = "SELECT count(*) FROM messages WHERE status = 'in_progress'"
POSTS = 30


@pytest.fixture
async def postgres_url(postgres_template: PostgresTemplate) -> AsyncIterator[str]:
    """A migrated database."""
    with postgres_template.copy() as url:
        yield url


@pytest.fixture
async def postgres_service(postgres_url: str) -> AsyncIterator[Service]:
    """A service on that database."""
    async with serving(settings(database_url=postgres_url)) as started:
        yield started


@contextlib.asynccontextmanager
async def locked(url: str, conversations: Sequence[dict[str, Any]]) -> AsyncIterator[asyncpg.Connection]:
    """Keeps the rows of conversations locked, as a process does that stands still in a transaction.

    Gives another connection, to look on with: within one transaction `pg_stat_activity` does not change.
    """
    connection, onlooker = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN")
        ids = [each["conversation_id"] for each in conversations]
        await connection.fetch("SELECT 1 FROM conversations WHERE conversation_id = ANY($1) FOR UPDATE", ids)
        yield onlooker
    finally:
        await connection.close()
        await onlooker.close()


async def wait_for_lock_waiters(connection: asyncpg.Connection, at_least: int) -> int:
    """Wait until so many connections wait for a lock, and return their number."""
    while (waiting := await connection.fetchval(LOCK_WAITERS)) < at_least:  # noqa: ASYNC110  a row says it
        await asyncio.sleep(0.01)
    return int(waiting)


def locking_requests(
    service: Service, conversation: dict[str, Any], message_id: str
) -> list[asyncio.Task[httpx2.Response]]:
    """Send requests of all kinds that lock a conversation, many times."""
    path, message = conversation_path(conversation), f"{messages_path(conversation)}/{message_id}"
    requests = [service.client.post(messages_path(conversation), json={"message": f"word{n}"}) for n in range(POSTS)]
    requests += [service.client.patch(path, json={"title": "Other"}) for _ in range(5)]
    requests += [service.client.post(f"{message}/regenerate", json={}) for _ in range(5)]
    requests += [service.client.put(message, json={"content": "Other"}) for _ in range(5)]
    return [asyncio.create_task(each) for each in requests]


async def test_locked_conversation_blocks_no_other(postgres_service: Service, postgres_url: str) -> None:
    """Few connections wait for a locked conversation; other turns, reads and the lease are served."""
    service = postgres_service
    conversation, other = (
        await service.client.create_conversation(message="Hello"),
        await service.client.create_conversation(),
    )
    reply = conversation["messages"][1]["message_id"]
    async with locked(postgres_url, [conversation]) as connection:
        requests = locking_requests(service, conversation, reply)
        assert await wait_for_lock_waiters(connection, 1) <= 2
        for _ in range(5):
            assert (await service.client.post_message(other, "Hello")).status_code == 201
            assert (await service.client.get(conversation_path(conversation))).status_code == 200
            assert (await service.client.get("/readyz")).status_code == 200
            assert await connection.fetchval(LOCK_WAITERS) <= 2
    answers = await asyncio.gather(*requests)
    # Requests that waited for too long were refused; accepted messages are stored.
    assert {answer.status_code for answer in answers} <= {200, 201, 409, 422, 503}
    accepted = [answer for answer in answers[:POSTS] if answer.status_code == 201]
    stored = (await service.client.get(f"{messages_path(conversation)}?limit=100&order=desc")).json()
    questions = {message["content"] for message in stored if message["role"] == "user"}
    assert {answer.json()["messages"][-2]["content"] for answer in accepted} <= questions
    assert (await service.client.post_message(conversation, "Again")).status_code == 201


async def test_many_locked_conversations(postgres_service: Service, postgres_url: str) -> None:
    """With more conversations locked than connections, reads are served and the lease is renewed."""
    service = postgres_service
    conversations = [await service.client.create_conversation() for _ in range(15)]
    renewals = "SELECT max(expires_at) FROM processes"
    async with locked(postgres_url, conversations) as connection:
        requests = [asyncio.create_task(service.client.post_message(each, "Hello")) for each in conversations]
        await wait_for_lock_waiters(connection, 8)
        before = await connection.fetchval(renewals)
        for each in conversations:
            assert (await service.client.get(conversation_path(each))).status_code == 200
        assert (await service.client.get("/readyz")).status_code == 200
        while await connection.fetchval(renewals) == before:  # noqa: ASYNC110  a row says it
            await asyncio.sleep(0.05)
    assert {answer.status_code for answer in await asyncio.gather(*requests)} <= {201, 503}


async def test_recovery_skips_locked_conversations(postgres_service: Service, postgres_url: str) -> None:
    """Turns of a dead process end while other conversations among them stay locked."""
    service = postgres_service
    conversations = [await service.client.create_conversation(message="Hello") for _ in range(6)]
    left = {"status": "in_progress", "completed_at": None, "process_id": new_id()}
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(left))
    async with locked(postgres_url, conversations[:3]) as connection:
        while await connection.fetchval(UNFINISHED) > 3:  # noqa: ASYNC110  a row says it
            await asyncio.sleep(0.05)
    connection = await asyncpg.connect(postgres_url)
    while await connection.fetchval(UNFINISHED):  # noqa: ASYNC110  a row says it
        await asyncio.sleep(0.05)
    await connection.close()
