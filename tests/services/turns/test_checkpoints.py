"""The text of running turns is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.db import turns
from app.db.transaction import Transaction
from tests.support.provider import FakeProvider
from tests.support.replies import Reply
from tests.support.service import Service
from tests.support.turns import checkpoint_writer, message_rows, start_reply

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_text_so_far_is_saved(openai_service: Service, provider: FakeProvider) -> None:
    """A checkpoint stores the text of a running turn."""
    gate = asyncio.Event()
    _, post = await start_reply(openai_service, provider, "Half ", gate, "and half")
    await checkpoint_writer(openai_service).save()
    question, reply = await message_rows(openai_service)
    assert (question.content, reply.content, reply.status) == ("Hello", "Half ", "in_progress")
    gate.set()
    assert (await post).json()["assistant_reply"] == "Half and half"


async def test_checkpoint_is_one_transaction(openai_service: Service, provider: FakeProvider) -> None:
    """A checkpoint of any number of turns is one transaction, and none if nothing has changed."""
    gate = asyncio.Event()
    provider.default = lambda _: Reply(["Half ", gate, "and half"])
    request = {"user_id": "ada", "message": "Hello", "background": True}
    for _ in range(30):
        assert (await openai_service.client.post("/conversations", json=request)).status_code == 202
    running = list(openai_service.services.turns.executor.runs.values())
    await asyncio.gather(*(run.stream.wait_beyond(0) for run in running))
    transactions = []
    write = openai_service.database.write

    async def counted(transaction: Callable[..., Transaction[Any]], *args: Any) -> Any:
        transactions.append(transaction)
        return await write(transaction, *args)

    saving = checkpoint_writer(openai_service, SimpleNamespace(write=counted))
    await saving.save()
    await saving.save()
    assert transactions == [turns.checkpoint]
    assert [reply.content for reply in (await message_rows(openai_service)) if reply.role == "assistant"] == [
        "Half "
    ] * 30
    gate.set()
    await asyncio.gather(*(run.stream.wait_finished() for run in running))
