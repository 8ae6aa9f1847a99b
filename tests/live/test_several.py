"""Two processes on one database: one conversation through both, and a delete in the one that is felt in the other.

The tests share the processes and keep to conversations of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.live.talk import make, messages, messages_of, say, stream, told, until, until_messages
from tests.support.process import Parley, parley_command, parley_process

NOTICED_SECONDS = 3
"""How soon a process notices what another has deleted under its turns."""


TEMPLATES = {"sqlite": "sqlite_template", "postgresql": "postgres_template"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Pair(NamedTuple):
    """Two processes on one database."""

    one: Parley
    other: Parley
    database_url: str


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=TEMPLATES)
async def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Two processes that echo, on each database."""
    directory = tmp_path_factory.mktemp("pair")
    with request.getfixturevalue(TEMPLATES[request.param]).copy() as url:
        settings: dict[str, Any] = {"database_url": url, "llm_provider": "scripted"}
        async with contextlib.AsyncExitStack() as stack:
            starts = [stack.enter_async_context(parley_process(directory, **settings)) for _ in range(2)]
            one, other = await asyncio.gather(*starts)
            yield Pair(one, other, url)


async def test_one_conversation_through_two_processes(pair: Pair, tmp_path: Path) -> None:
    """40 posts at once through both: 80 messages, numbers 1..80, each reply behind its question and its client's."""
    conversation = await make(pair.one)
    questions = [f"word{n} of a question" for n in range(40)]
    posts = [told((pair.one, pair.other)[n % 2], conversation, question) for n, question in enumerate(questions)]
    assert await asyncio.gather(*posts) == questions
    found = await messages(pair.other, conversation)
    assert [each["sequence_number"] for each in found] == list(range(1, 81))
    assert [each["role"] for each in found] == ["user", "assistant"] * 40
    assert all(asked["content"] == reply["content"] for asked, reply in zip(found[::2], found[1::2], strict=True))
    assert sorted(each["content"] for each in found[::2]) == sorted(questions)
    checked = await parley_command(tmp_path, "check", database_url=pair.database_url)
    assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")


async def delete(parley: Parley, conversation: dict[str, Any]) -> None:
    """Deletes a conversation."""
    path = messages_of(conversation).removesuffix("/messages")
    assert (await parley.client.delete(path)).status_code == 200


@pytest.mark.parametrize("model", ["slow", "stall-midway", "stall"])
async def test_a_stream_ends_when_another_process_deletes_its_conversation(pair: Pair, model: str) -> None:
    """A deletion is noticed by the process that runs the turn, also when its model is silent: message.cancelled."""
    conversation = await make(pair.one)
    async with stream(pair.one, conversation, "word " * 500, model=model) as events:
        await until(events, "turn.started")
        if model == "stall-midway":  # once its text is saved there is no more to save
            await until_messages(pair.one, conversation, lambda found: found[1]["content"])
        await delete(pair.other, conversation)
        async with asyncio.timeout(NOTICED_SECONDS):
            assert (await until(events, "message.cancelled")).data["message"]["status"] == "cancelled"


async def test_a_waiting_turn_ends_when_another_process_deletes_its_conversation(pair: Pair) -> None:
    """A client whose turn waits in line is told that the conversation is gone, in whichever process it waits."""
    conversation = await make(pair.one)
    running = asyncio.create_task(say(pair.one, conversation, "word " * 500, model="slow"))
    await until_messages(pair.one, conversation, lambda found: len(found) == 2)
    waiting = [asyncio.create_task(say(each, conversation, "Hello")) for each in (pair.one, pair.other)]
    await until_messages(pair.one, conversation, lambda found: len(found) == 6)
    await delete(pair.other, conversation)
    async with asyncio.timeout(NOTICED_SECONDS):
        assert [(await each).status_code for each in (running, *waiting)] == [404, 404, 404]


async def test_a_turn_waits_for_one_in_another_process(pair: Pair) -> None:
    """Turns of one conversation run in order wherever they were accepted, one after the other."""
    conversation = await make(pair.one)
    first = asyncio.create_task(say(pair.one, conversation, "one two three four five six", model="slow"))
    await until_messages(pair.other, conversation, lambda found: len(found) == 2)
    assert await told(pair.other, conversation, "second") == "second"
    assert (await first).status_code == 201
    found = await messages(pair.other, conversation)
    assert found[1]["completed_at"] <= found[3]["completed_at"]
    assert [each["content"] for each in found[2:]] == ["second", "second"]
