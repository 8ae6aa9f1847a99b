"""Several processes on one database: beside each other, and after another's death.

kill -9 takes a process amid a reply, with a second turn waiting behind it; then the lease of 15 seconds has to run
out. So both databases go through that from the first test on, while the other tests share two processes and keep to
conversations of their own, and the last ones look at what came of it.
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

from tests.api.talk import events_of
from tests.live.talk import make, messages, messages_of, say, stream, told, until, until_messages
from tests.support.clock import FairClock, within
from tests.support.databases import PostgresTemplate, SqliteTemplate
from tests.support.process import Parley, parley_command, parley_process
from tests.support.provider import FakeProvider

NOTICED_SECONDS = 3
"""How soon a process notices what another has deleted under its turns."""

RECOVERY_SECONDS = 20
"""A lease, and the pause between two looks for those that have run out."""

TEMPLATES = {"sqlite": "sqlite_template", "postgresql": "postgres_template"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Pair(NamedTuple):
    """Two processes on one database."""

    one: Parley
    other: Parley
    database_url: str


@pytest.fixture(scope="module", params=TEMPLATES)
def pair_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of each kind."""
    with request.getfixturevalue(TEMPLATES[request.param]).copy() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(pair_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Two processes that echo."""
    directory = tmp_path_factory.mktemp("pair")
    settings: dict[str, Any] = {"database_url": pair_url, "llm_provider": "scripted"}
    async with contextlib.AsyncExitStack() as stack:
        starts = [stack.enter_async_context(parley_process(directory, **settings)) for _ in range(2)]
        one, other = await asyncio.gather(*starts)
        yield Pair(one, other, pair_url)


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


async def test_streams_end_when_another_process_deletes_their_conversations(pair: Pair) -> None:
    """A deletion is noticed by the process that runs the turn, also when its model is silent: message.cancelled."""
    await asyncio.gather(*(cancelled_by_deletion(pair, model) for model in ("slow", "stall-midway", "stall")))


async def cancelled_by_deletion(pair: Pair, model: str) -> None:
    """Streams a turn in one process, deletes its conversation in the other and waits for the last event."""
    conversation = await make(pair.one)
    async with stream(pair.one, conversation, "word " * 500, model=model) as events:
        await until(events, "turn.started")
        if model == "stall-midway":  # once its text is saved there is no more to save
            await until_messages(pair.one, conversation, lambda found: found[1]["content"])
        await delete(pair.other, conversation)
        async with within(NOTICED_SECONDS):
            assert (await until(events, "message.cancelled")).data["message"]["status"] == "cancelled"


async def test_a_waiting_turn_ends_when_another_process_deletes_its_conversation(pair: Pair) -> None:
    """A client whose turn waits in line is told that the conversation is gone, in whichever process it waits."""
    conversation = await make(pair.one)
    running = asyncio.create_task(say(pair.one, conversation, "word " * 500, model="slow"))
    await until_messages(pair.one, conversation, lambda found: len(found) == 2)
    waiting = [asyncio.create_task(say(each, conversation, "Hello")) for each in (pair.one, pair.other)]
    await until_messages(pair.one, conversation, lambda found: len(found) == 6)
    await delete(pair.other, conversation)
    async with within(NOTICED_SECONDS):
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
        since_kill = FairClock()
        async with parley_process(directory, **settings) as restarted:
            at_restart = await messages(restarted, conversation)
            await until_messages(
                restarted, conversation, lambda found: found[1]["completed_at"], RECOVERY_SECONDS + 10, 0.2
            )
            seconds = since_kill.seconds
            since_kill.stop()
            recovered = await until_messages(restarted, conversation, lambda found: found[3]["completed_at"])
            yield Crash(database_url, provider, restarted, conversation, at_restart, seconds, recovered)


async def second(parley: Parley, conversation: dict[str, Any]) -> httpx2.Response:
    """The answer to the second turn, which has a key."""
    headers = {"Idempotency-Key": "second"}
    return await parley.client.post(messages_of(conversation), json={"message": "Second"}, headers=headers)


async def killed_amid_a_turn(parley: Parley, provider: FakeProvider, conversation: dict[str, Any]) -> None:
    """Kills the process once the first half of a reply is saved and a second turn waits."""
    provider.reply("Half ", asyncio.Event(), "and half")
    async with stream(parley, conversation, "First") as events:
        await until(events, "message.delta")
        waiting = asyncio.create_task(second(parley, conversation))
        await until_messages(parley, conversation, lambda found: len(found) == 4 and found[1]["content"])
        parley.kill()
        with pytest.raises(httpx2.TransportError):
            await until(events, "message.completed")
    with pytest.raises(httpx2.TransportError):
        await waiting


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def crashes(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: SqliteTemplate, postgres_template: PostgresTemplate
) -> AsyncIterator[asyncio.Future[list[Crash]]]:
    """A crash on each database, gone through while the other tests run."""
    with sqlite_template.copy() as sqlite, postgres_template.copy() as postgresql:
        async with contextlib.AsyncExitStack() as stack:
            scenes = [crash(tmp_path_factory.mktemp("crash"), url) for url in (sqlite, postgresql)]
            going_on = asyncio.gather(*map(stack.enter_async_context, scenes))
            yield going_on
            going_on.cancel()  # where its tests were not chosen
            await asyncio.gather(going_on, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="module", params=[0, 1], ids=TEMPLATES)
async def crashed(request: pytest.FixtureRequest, crashes: asyncio.Future[list[Crash]]) -> Crash:
    """The crash on one database, once it is over."""
    found: Crash = (await crashes)[request.param]
    return found


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


async def test_a_lost_answer_is_had_from_the_next_process(crashed: Crash) -> None:
    """Whose post died with the process asks again under its key, and gets the answer that was made since."""
    answer = await second(crashed.restarted, crashed.conversation)
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Echo: Second")
    assert answer.headers["idempotency-replayed"] == "true"
    questions = [call.body["messages"][-1]["content"] for call in crashed.provider.calls]
    assert questions.count("Second") == 1


@pytest.mark.parametrize(("k", "text"), [(0, "Half "), (3, "f "), (5, None), (9, None)])
async def test_a_stream_that_died_with_its_process_is_resumed(crashed: Crash, k: int, text: str | None) -> None:
    """The rest of what was saved comes, then the end; a reader who had been sent more is told what is authoritative."""
    path = f"{messages_of(crashed.conversation)}/{crashed.recovered[1]['message_id']}/events"
    response = await crashed.restarted.client.get(path, headers={"Last-Event-ID": str(k)})
    *before, end = events_of(response.text)
    assert (end.name, end.id, end.data["message"]) == ("message.interrupted", "5-end", crashed.recovered[1])
    assert [event.data["delta"] for event in before if event.name == "message.delta"] == ([text] if text else [])


async def test_the_conversation_goes_on_after_the_crash(crashed: Crash, tmp_path: Path) -> None:
    """A new turn works, the numbers have no hole, and `parley check` finds nothing broken."""
    assert await told(crashed.restarted, crashed.conversation, "Third") == "Echo: Third"
    found = await messages(crashed.restarted, crashed.conversation)
    assert [each["sequence_number"] for each in found] == [1, 2, 3, 4, 5, 6]
    checked = await parley_command(tmp_path, "check", database_url=crashed.database_url)
    assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")
