"""Turns end, with the text so far, when the service itself fails."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from app.db import turns
from app.errors import DatabaseUnavailable
from app.llm.calls import ModelCall
from app.services.runtime.timings import Timings
from tests.support.background import (
    WAIT_SECONDS,
    start_half_reply,
    wait_for,
)
from tests.support.faults import Outage
from tests.support.parley_client import messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import HASTY, Service, provider_settings, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Retries that come soon."""
    return HASTY


async def test_reply_is_stored_after_internal_error(
    openai_service: Service, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """A reply that an internal error keeps from being stored is retried, with the error in the log."""
    gate = asyncio.Event()
    conversation, post = await start_half_reply(openai_service, provider, gate)
    with Outage(openai_service.database, ZeroDivisionError(), turns.settle):
        gate.set()
        await wait_for(lambda: sum(record.exc_info is not None for record in caplog.records) >= 3)
    answer = await post
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Half and half")
    assert (await openai_service.client.get_messages(conversation))[1]["usage"] is not None


async def test_failed_turn_keeps_text(openai_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """An internal error after some text ends the turn as failed, with that text."""

    async def broken(call: ModelCall) -> None:
        call.sink.append("Half ")
        raise RuntimeError("a bug")

    monkeypatch.setattr(openai_service.services.resources.router, "complete", broken)
    conversation = await openai_service.client.create_conversation()
    expect_problem(await openai_service.client.post_message(conversation, "Hello"), 500, "internal-error")
    reply = (await openai_service.client.get_json(messages_path(conversation)))[1]
    assert (reply["status"], reply["content"]) == ("failed", "Half ")


async def test_failed_callback_keeps_turn(
    openai_service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback after a turn may fail: the post is answered, and the next callback is called."""
    executor, called = openai_service.services.turns.executor, []

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(executor, "on_turn_finished", [broken, lambda run: called.append(run.reply.status)])
    assert (await openai_service.client.send(await openai_service.client.create_conversation(), "Hello"))[
        "assistant_reply"
    ] == "Echo: Hello"
    assert called == ["completed"]
    assert "a callback after a turn failed" in caplog.text


async def test_drain_answers_posts_of_failed_turns(
    database_url: str, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A post whose failed turn could not be stored before the process ends is answered."""

    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    timings = dataclasses.replace(HASTY, last_commits=0.05)
    async with serving(provider_settings(provider, database_url=database_url), timings) as service:
        executor = service.services.turns.executor
        conversation, first = await start_half_reply(service, provider, asyncio.Event())
        monkeypatch.setattr(executor.queue, "wait_for_start", broken)
        with Outage(service.database, DatabaseUnavailable(), turns.settle) as outage:
            post = asyncio.create_task(service.client.post_message(conversation, "Second"))
            await outage.failed.wait()
            await executor.drain(0)
            async with asyncio.timeout(WAIT_SECONDS):
                expect_problem(await post, 503, "draining")
                expect_problem(await first, 503, "draining")
