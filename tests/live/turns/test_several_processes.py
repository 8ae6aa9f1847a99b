"""Several processes on one database: in parallel, and after the crash of one.

kill -9 ends a process during a reply, with a second turn queued behind it; then the lease of 15 seconds has to
expire. To save that time the crash on both databases runs in parallel with the other tests, which share two processes
and use conversations of their own; the last tests check its results.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import pytest_asyncio

from tests.support.clock import FairClock, within
from tests.support.databases import PostgresTemplate, SqliteTemplate
from tests.support.parley_client import conversation_path, messages_path
from tests.support.process import Parley, parley_command, parley_process
from tests.support.provider import FakeProvider
from tests.support.sse import parse_events, wait_for_event

NOTICED_SECONDS = 3
"""Longest time until a process notices that another one deleted the conversation of its turn."""

RECOVERY_SECONDS = 20
"""A lease, and the interval at which expired ones are recovered."""

TEMPLATES = {"sqlite": "sqlite_template", "postgresql": "postgres_template"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Pair(NamedTuple):
    """Two processes on one database."""

    one: Parley
    other: Parley
    database_url: str


@pytest.fixture(scope="module", params=TEMPLATES)
def pair_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give an empty database of each kind."""
    with request.getfixturevalue(TEMPLATES[request.param]).copy() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(pair_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Start two processes that echo."""
    directory = tmp_path_factory.mktemp("pair")
    settings: dict[str, Any] = {"database_url": pair_url, "llm_provider": "scripted"}
    async with contextlib.AsyncExitStack() as stack:
        starts = [stack.enter_async_context(parley_process(directory, **settings)) for _ in range(2)]
        one, other = await asyncio.gather(*starts)
        yield Pair(one, other, pair_url)


async def test_one_conversation_in_two_processes(pair: Pair, tmp_path: Path) -> None:
    """40 posts at once through both processes give messages 1 to 80, each reply after its question."""
    conversation = await pair.one.client.create_conversation()
    questions = [f"word{n} of a question" for n in range(40)]
    posts = [(pair.one, pair.other)[n % 2].client.send(conversation, question) for n, question in enumerate(questions)]
    assert [each["assistant_reply"] for each in await asyncio.gather(*posts)] == questions
    found = await pair.other.client.get_messages(conversation)
    assert [each["sequence_number"] for each in found] == list(range(1, 81))
    assert [each["role"] for each in found] == ["user", "assistant"] * 40
    assert all(question["content"] == reply["content"] for question, reply in zip(found[::2], found[1::2], strict=True))
    assert sorted(each["content"] for each in found[::2]) == sorted(questions)
    checked = await parley_command(tmp_path, "check", database_url=pair.database_url)
    assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")


async def delete(parley: Parley, conversation: dict[str, Any]) -> None:
    """Delete a conversation."""
    assert (await parley.client.delete(conversation_path(conversation))).status_code == 200


async def test_deletion_ends_streams_elsewhere(pair: Pair) -> None:
    """If another process deletes the conversation a stream ends with message.cancelled, also with a silent model."""
    await asyncio.gather(*(delete_during_stream(pair, model) for model in ("slow", "stall-midway", "stall")))


async def delete_during_stream(pair: Pair, model: str) -> None:
    """Stream a turn in one process, delete its conversation in the other and wait for the last event."""
    conversation = await pair.one.client.create_conversation()
    async with pair.one.client.stream(conversation, "word " * 500, model=model) as events:
        await wait_for_event(events, "turn.started")
        if model == "stall-midway":  # its only text is saved then
            await pair.one.client.wait_for_messages(conversation, lambda found: found[1]["content"])
        await delete(pair.other, conversation)
        async with within(NOTICED_SECONDS):
            assert (await wait_for_event(events, "message.cancelled")).data["message"]["status"] == "cancelled"


async def test_deletion_ends_queued_turns_elsewhere(pair: Pair) -> None:
    """Queued turns in any process end with 404 if another process deletes their conversation."""
    conversation = await pair.one.client.create_conversation()
    running = asyncio.create_task(pair.one.client.post_message(conversation, "word " * 500, model="slow"))
    await pair.one.client.wait_for_messages(conversation, lambda found: len(found) == 2)
    waiting = [asyncio.create_task(each.client.post_message(conversation, "Hello")) for each in (pair.one, pair.other)]
    await pair.one.client.wait_for_messages(conversation, lambda found: len(found) == 6)
    await delete(pair.other, conversation)
    async with within(NOTICED_SECONDS):
        assert [(await each).status_code for each in (running, *waiting)] == [404, 404, 404]


async def test_turns_wait_across_processes(pair: Pair) -> None:
    """Turns of one conversation run one after the other, whichever process accepted them."""
    conversation = await pair.one.client.create_conversation()
    first = asyncio.create_task(pair.one.client.post_message(conversation, "one two three four five six", model="slow"))
    await pair.other.client.wait_for_messages(conversation, lambda found: len(found) == 2)
    assert (await pair.other.client.send(conversation, "second"))["assistant_reply"] == "second"
    assert (await first).status_code == 201
    found = await pair.other.client.get_messages(conversation)
    assert found[1]["completed_at"] <= found[3]["completed_at"]
    assert [each["content"] for each in found[2:]] == ["second", "second"]


@dataclass(frozen=True)
class Crash:
    """The stored messages after a crash, and the process that was started after it."""

    database_url: str
    provider: FakeProvider
    restarted: Parley
    conversation: dict[str, Any]
    at_restart: list[dict[str, Any]]
    seconds_to_interrupted: float
    recovered: list[dict[str, Any]]


@contextlib.asynccontextmanager
async def crash(directory: Path, database_url: str) -> AsyncIterator[Crash]:
    """Run two turns, kill the process, start another and wait for the recovery."""
    async with FakeProvider() as provider:
        settings: dict[str, Any] = {"openai_api_key": "x", "openai_base_url": provider.openai_base_url}
        settings["database_url"] = database_url
        async with parley_process(directory, **settings) as parley:
            conversation = await parley.client.create_conversation()
            await kill_during_turn(parley, provider, conversation)
        since_kill = FairClock()
        async with parley_process(directory, **settings) as restarted:
            at_restart = await restarted.client.get_messages(conversation)
            await restarted.client.wait_for_messages(conversation, lambda found: found[1]["completed_at"], pause=0.2)
            seconds = since_kill.seconds
            since_kill.stop()
            recovered = await restarted.client.wait_for_messages(conversation, lambda found: found[3]["completed_at"])
            yield Crash(database_url, provider, restarted, conversation, at_restart, seconds, recovered)


async def post_second(parley: Parley, conversation: dict[str, Any]) -> httpx2.Response:
    """Post the second turn, which has a key."""
    headers = {"Idempotency-Key": "second"}
    return await parley.client.post(messages_path(conversation), json={"message": "Second"}, headers=headers)


async def kill_during_turn(parley: Parley, provider: FakeProvider, conversation: dict[str, Any]) -> None:
    """Kill the process once the first half of a reply is saved and a second turn is queued."""
    provider.reply("Half ", asyncio.Event(), "and half")
    async with parley.client.stream(conversation, "First") as events:
        await wait_for_event(events, "message.delta")
        waiting = asyncio.create_task(post_second(parley, conversation))
        await parley.client.wait_for_messages(conversation, lambda found: len(found) == 4 and found[1]["content"])
        parley.kill()
        with pytest.raises(httpx2.TransportError):
            await wait_for_event(events, "message.completed")
    with pytest.raises(httpx2.TransportError):
        await waiting


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def crashes(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: SqliteTemplate, postgres_template: PostgresTemplate
) -> AsyncIterator[asyncio.Future[list[Crash]]]:
    """Run a crash on each database in parallel with the other tests."""
    with sqlite_template.copy() as sqlite, postgres_template.copy() as postgresql:
        async with contextlib.AsyncExitStack() as stack:
            scenes = [crash(tmp_path_factory.mktemp("crash"), url) for url in (sqlite, postgresql)]
            going_on = asyncio.gather(*map(stack.enter_async_context, scenes))
            yield going_on
            going_on.cancel()  # if its tests were not selected
            await asyncio.gather(going_on, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="module", params=[0, 1], ids=TEMPLATES)
async def crashed(request: pytest.FixtureRequest, crashes: asyncio.Future[list[Crash]]) -> Crash:
    """Wait for the end of the crash on one database, and return it."""
    found: Crash = (await crashes)[request.param]
    return found


async def test_messages_survive_a_crash(crashed: Crash) -> None:
    """Right after the restart both questions and the last saved text of the reply are there."""
    assert [(each["role"], each["status"], each["content"]) for each in crashed.at_restart] == [
        ("user", "completed", "First"),
        ("assistant", "in_progress", "Half "),
        ("user", "completed", "Second"),
        ("assistant", "queued", ""),
    ]


async def test_lost_reply_is_interrupted_in_time(crashed: Crash) -> None:
    """Within twenty seconds of the kill the reply is interrupted, keeps its saved text and is not run again."""
    assert crashed.seconds_to_interrupted < RECOVERY_SECONDS
    reply = crashed.recovered[1]
    assert (reply["status"], reply["content"], reply["finish_reason"]) == ("interrupted", "Half ", None)


async def test_queued_turn_is_adopted_after_a_crash(crashed: Crash) -> None:
    """The queued turn is adopted and answered with the saved text in its prompt; each question is sent once."""
    reply = crashed.recovered[3]
    assert (reply["status"], reply["content"]) == ("completed", "Echo: Second")
    prompts = [[each["content"] for each in call.body["messages"]] for call in crashed.provider.calls]
    assert prompts[:2] == [["First"], ["First", "Half ", "Second"]]
    assert sum(each[-1] in {"First", "Second"} for each in prompts) == 2


async def test_retry_gets_the_lost_answer(crashed: Crash) -> None:
    """A client whose post died with the process retries under its key and gets the answer made since."""
    answer = await post_second(crashed.restarted, crashed.conversation)
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Echo: Second")
    assert answer.headers["idempotency-replayed"] == "true"
    questions = [call.body["messages"][-1]["content"] for call in crashed.provider.calls]
    assert questions.count("Second") == 1


@pytest.mark.parametrize(("k", "text"), [(0, "Half "), (3, "f "), (5, None), (9, None)])
async def test_lost_stream_is_resumed(crashed: Crash, k: int, text: str | None) -> None:
    """A resumed stream sends the rest of the saved text and an end with the authoritative text."""
    path = f"{messages_path(crashed.conversation)}/{crashed.recovered[1]['message_id']}/events"
    response = await crashed.restarted.client.get(path, headers={"Last-Event-ID": str(k)})
    *before, end = parse_events(response.text)
    assert (end.name, end.id, end.data["message"]) == ("message.interrupted", "5-end", crashed.recovered[1])
    assert [event.data["delta"] for event in before if event.name == "message.delta"] == ([text] if text else [])


async def test_conversation_continues_after_a_crash(crashed: Crash, tmp_path: Path) -> None:
    """A new turn works, the sequence has no gap, and `parley check` finds nothing."""
    assert (await crashed.restarted.client.send(crashed.conversation, "Third"))["assistant_reply"] == "Echo: Third"
    found = await crashed.restarted.client.get_messages(crashed.conversation)
    assert [each["sequence_number"] for each in found] == [1, 2, 3, 4, 5, 6]
    checked = await parley_command(tmp_path, "check", database_url=crashed.database_url)
    assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")
