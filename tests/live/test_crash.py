"""kill -9 amid a reply, with a second turn waiting behind it, and a new start on the same database.

A lease of 15 seconds has to run out after the kill, so both databases go through it at once and each crash
is looked at from several sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.live.talk import make, messages, say, stream, told, until, until_messages
from tests.support.databases import PostgresTemplate, SqliteTemplate
from tests.support.process import Parley, parley_command, parley_process
from tests.support.provider import FakeProvider

RECOVERY_SECONDS = 20
"""A lease, and the pause between two looks for those that have run out."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Crash:
    """What was found at the moments after a crash, and the process that was started after it."""

    database_url: str
    provider: FakeProvider
    restarted: Parley
    conversation: dict[str, Any]
    at_restart: list[dict[str, Any]]
    seconds_to_interrupted: float
    recovered: list[dict[str, Any]]


@contextlib.asynccontextmanager
async def crash(directory: Path, database_url: str) -> AsyncIterator[Crash]:
    """Goes through it: two turns, the kill, the start, the recovery."""
    async with FakeProvider() as provider:
        settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
        settings["database_url"] = database_url
        async with parley_process(directory, **settings) as parley:
            conversation = await make(parley)
            await killed_amid_a_turn(parley, provider, conversation)
        killed_at = time.monotonic()
        async with parley_process(directory, **settings) as restarted:
            at_restart = await messages(restarted, conversation)
            await until_messages(restarted, conversation, lambda found: found[1]["completed_at"], RECOVERY_SECONDS + 10)
            seconds = time.monotonic() - killed_at
            recovered = await until_messages(restarted, conversation, lambda found: found[3]["completed_at"])
            yield Crash(database_url, provider, restarted, conversation, at_restart, seconds, recovered)


async def killed_amid_a_turn(parley: Parley, provider: FakeProvider, conversation: dict[str, Any]) -> None:
    """Kills the process once the first half of a reply is saved and a second turn waits."""
    provider.reply("Half ", asyncio.Event(), "and half")
    async with stream(parley, conversation, "First") as events:
        await until(events, "message.delta")
        waiting = asyncio.create_task(say(parley, conversation, "Second"))
        await until_messages(parley, conversation, lambda found: len(found) == 4 and found[1]["content"])
        parley.kill()
        with pytest.raises(httpx2.TransportError):
            await until(events, "message.completed")
    with pytest.raises(httpx2.TransportError):
        await waiting


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crashes(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: SqliteTemplate, postgres_template: PostgresTemplate
) -> AsyncIterator[dict[str, Crash]]:
    """A crash on each database, at the same time."""
    with sqlite_template.copy() as sqlite, postgres_template.copy() as postgresql:
        urls = {"sqlite": sqlite, "postgresql": postgresql}
        async with contextlib.AsyncExitStack() as stack:
            entering = [stack.enter_async_context(crash(tmp_path_factory.mktemp(n), url)) for n, url in urls.items()]
            yield dict(zip(urls, await asyncio.gather(*entering), strict=True))


@pytest.fixture(params=["sqlite", "postgresql"])
def crashed(request: pytest.FixtureRequest, crashes: dict[str, Crash]) -> Crash:
    """The crash on one database."""
    return crashes[request.param]


async def test_what_was_said_survives_the_crash(crashed: Crash) -> None:
    """Right after the restart both questions are there, beside the reply's text as it was last saved."""
    assert [(each["role"], each["status"], each["content"]) for each in crashed.at_restart] == [
        ("user", "completed", "First"),
        ("assistant", "in_progress", "Half "),
        ("user", "completed", "Second"),
        ("assistant", "queued", ""),
    ]


async def test_the_reply_that_was_cut_is_interrupted_in_time(crashed: Crash) -> None:
    """Within twenty seconds of the kill the reply is interrupted and keeps its saved text; it is not run again."""
    assert crashed.seconds_to_interrupted < RECOVERY_SECONDS
    reply = crashed.recovered[1]
    assert (reply["status"], reply["content"], reply["finish_reason"]) == ("interrupted", "Half ", None)


async def test_the_turn_that_waited_is_answered_by_the_restarted_process(crashed: Crash) -> None:
    """The waiting turn is adopted and answered, knowing what was cut; the provider saw each question once."""
    reply = crashed.recovered[3]
    assert (reply["status"], reply["content"]) == ("completed", "Echo: Second")
    asked = [[each["content"] for each in call.body["messages"]] for call in crashed.provider.calls]
    assert asked[:2] == [["First"], ["First", "Half ", "Second"]]
    assert sum(each[-1] in {"First", "Second"} for each in asked) == 2


async def test_the_conversation_goes_on_after_the_crash(crashed: Crash, tmp_path: Path) -> None:
    """A new turn works, the numbers have no hole, and `parley check` finds nothing broken."""
    assert await told(crashed.restarted, crashed.conversation, "Third") == "Echo: Third"
    found = await messages(crashed.restarted, crashed.conversation)
    assert [each["sequence_number"] for each in found] == [1, 2, 3, 4, 5, 6]
    checked = await parley_command(tmp_path, "check", database_url=crashed.database_url)
    assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")
