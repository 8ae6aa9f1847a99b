"""Turns of a running service and of dead processes, started and changed for tests."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import select, update

from app.db.models import MessageRow, ProcessRow
from app.domain.ids import new_id, now_ms
from app.services.runtime.timings import Timings
from app.services.turns.cancellation import CancellationPoller
from app.services.turns.checkpoints import CheckpointWriter
from tests.support.provider import FakeProvider
from tests.support.service import Service


async def start_reply(
    service: Service, provider: FakeProvider, *steps: Any
) -> tuple[dict[str, Any], asyncio.Task[Any]]:
    """Start a reply up to the provider's first gate; return the conversation and the waiting post."""
    provider.reply(*steps)
    conversation = await service.client.create_conversation()
    post = asyncio.create_task(service.client.post_message(conversation, "Hello"))
    await provider.wait_calls(len(provider.calls) or 1)
    [run] = service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    return conversation, post


async def update_replies(service: Service, **values: Any) -> None:
    """Change the rows of all replies."""
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(values))


async def message_rows(service: Service) -> list[MessageRow]:
    async with service.database.read_session() as session:
        return list((await session.scalars(select(MessageRow).order_by(MessageRow.sequence_number))).all())


def checkpoint_writer(service: Service, database: Any = None) -> CheckpointWriter:
    executor, process_id = service.services.turns.executor, service.services.process.id
    return CheckpointWriter(database or service.database, executor, process_id, Timings())


def cancellation_poller(service: Service) -> CancellationPoller:
    turns = service.services.turns
    return CancellationPoller(service.database, turns.executor, service.services.process.id, Timings())


async def dead_process(service: Service) -> str:
    """Store a process with an expired lease, and return its id."""
    process_id = new_id()
    async with service.database.write_session() as session:
        session.add(ProcessRow(process_id=process_id, started_at=1, expires_at=1))
    return process_id


async def living_process(service: Service) -> str:
    """Store a process with a lease, and return its id."""
    process_id = new_id()
    async with service.database.write_session() as session:
        session.add(ProcessRow(process_id=process_id, started_at=1, expires_at=now_ms() + 60_000))
    return process_id


async def abandoned_turn(service: Service, **values: Any) -> dict[str, Any]:
    """Create a conversation whose reply a dead process left with these values."""
    conversation = await service.client.create_conversation(message="Hello")
    await update_replies(service, process_id=await dead_process(service), **values)
    return conversation
