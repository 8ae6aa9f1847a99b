"""Each accepted turn is stored with one final status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete

from app.db import turns
from app.db.models import MessageRow
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from app.services.turns.reservation import TurnReservations
from tests.support.parley_client import messages_path
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.turns import cancellation_poller, living_process, message_rows, start_reply, update_replies

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_turn_of_other_owner_is_aborted(openai_service: Service, provider: FakeProvider) -> None:
    """A turn that another process owns now is aborted, and nothing of it is written."""
    _, post = await start_reply(openai_service, provider, "Half ", asyncio.Event())
    await update_replies(openai_service, process_id=await living_process(openai_service))
    await cancellation_poller(openai_service).poll()
    await provider.calls[0].closed.wait()
    reply = (await message_rows(openai_service))[1]
    assert (reply.content, reply.status) == ("", "in_progress")
    await update_replies(openai_service, status="completed", content="Whole", finish_reason="stop", completed_at=1)
    assert (await post).json()["assistant_reply"] == "Whole"


async def test_turn_settled_elsewhere(openai_service: Service, provider: FakeProvider) -> None:
    """The client of a turn that another process has settled gets what is stored."""
    gate = asyncio.Event()
    _, post = await start_reply(openai_service, provider, "Half ", gate)
    await update_replies(openai_service, status="interrupted", content="Hal", completed_at=1)
    gate.set()
    answer = await post
    assert (answer.status_code, answer.json()["code"]) == (502, "turn-interrupted")
    assert (await message_rows(openai_service))[1].content == "Hal"


class LostAcknowledgement:
    """Fails the next acceptance of a turn after its commit, or instead of it."""

    def __init__(self, service: Service, *, committed: bool) -> None:
        self._database = service.database
        self._committed = committed
        self.write, self._write = self.failing, service.database.write
        service.database.write = self.failing

    async def failing(self, transaction: Callable[..., Transaction[Any]], *args: Any) -> Any:
        if getattr(transaction, "__func__", None) is not TurnReservations.reserve:  # background work goes on meanwhile
            return await self._write(transaction, *args)
        self._database.write = self._write
        if self._committed:
            await self._write(transaction, *args)
        else:
            await self._run_and_roll_back(transaction, *args)
        raise DatabaseUnavailable

    async def _run_and_roll_back(self, transaction: Callable[..., Transaction[Any]], *args: Any) -> None:
        def rolled_back() -> Any:
            yield from transaction(*args)
            raise RuntimeError("the connection is gone")

        with pytest.raises(RuntimeError):
            await self._write(rolled_back)


@pytest.mark.parametrize("committed", [True, False])
async def test_unacknowledged_acceptance(service: Service, committed: bool) -> None:
    """A turn without an acknowledged commit runs if it is stored, and is refused otherwise."""
    path = messages_path(await service.client.create_conversation())
    LostAcknowledgement(service, committed=committed)
    answer = await service.client.post(path, json={"message": "Hello"})
    messages = await service.client.get_json(path)
    assert (answer.status_code, len(messages)) == ((201, 2) if committed else (503, 0))
    assert service.services.turns.executor.runs == {}


async def test_unacknowledged_settlement(service: Service) -> None:
    """Settling is retried until the database answers, and the turn ends once."""
    path = messages_path(await service.client.create_conversation())
    write = service.database.write

    async def failing(transaction: Callable[..., Transaction[Any]], *args: Any) -> Any:
        if transaction is not turns.settle:
            return await write(transaction, *args)
        service.database.write = write
        await write(transaction, *args)
        raise DatabaseUnavailable

    service.database.write = failing
    answer = await service.client.post(path, json={"message": "Hello"})
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Hello")


async def test_internal_error_ends_turn_as_failed(openai_service: Service, provider: FakeProvider) -> None:
    """An internal error before the model call ends the turn, and its client is notified."""
    gate = asyncio.Event()
    conversation, first = await start_reply(openai_service, provider, "Half ", gate)
    async with openai_service.client.stream(conversation, "Lost") as events:
        assert (await anext(events)).name == "turn.started"
        async with openai_service.database.write_session() as session:
            await session.execute(delete(MessageRow).where(MessageRow.content == "Lost"))
        gate.set()
        names = [event.name async for event in events]
    assert (await first).status_code == 201
    assert names == ["message.failed"]
    assert (await message_rows(openai_service))[-1].error_code == "internal-error"
