"""What models write beside the turns: summaries of what no longer fits, and titles."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.db import summaries
from app.db.summaries import SummaryState
from tests.api.talk import got, make, messages_of, path_of, told
from tests.support.provider import Call, FakeProvider, echo
from tests.support.replies import Answer, Reply, Thought, context_too_long, server_error
from tests.support.service import Service, asking, quiet, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

WINDOW = 800
LONG = "w" * 300
SUMMARY = "They said w."


def is_summary(call: Call) -> bool:
    """Whether a call asks for a summary."""
    return "keep the notes" in call.body["messages"][0]["content"]


def is_title(call: Call) -> bool:
    """Whether a call asks for a title."""
    return "Write a title" in call.body["messages"][0]["content"]


def summarising(answer: Answer) -> Callable[[Call], Answer]:
    """A provider that answers summaries with this, and echoes otherwise."""
    return lambda call: answer if is_summary(call) else Reply(["w" * 100], usage=None)


@contextlib.asynccontextmanager
async def small(url: str, provider: FakeProvider, **more: Any) -> AsyncIterator[Service]:
    """A service whose model takes little."""
    async with serving(asking(provider, database_url=url, llm_context_window=WINDOW, **more)) as service:
        yield service


async def summary_of(service: Service, conversation: dict[str, Any]) -> SummaryState:
    """A conversation's summary."""
    found: SummaryState | None = await service.database.read(summaries.summary_state, conversation["conversation_id"])
    assert found is not None
    return found


async def grown(service: Service, provider: FakeProvider, turns: int = 6) -> dict[str, Any]:
    """A conversation that has outgrown the window, and what was written beside it."""
    made = await make(service, user_id="eve", system_prompt="Be kind.")
    for _ in range(turns):
        await told(service, made, LONG)
        await quiet(service)
    return made


async def test_what_no_longer_fits_is_summarised(shared_database_url: str, provider: FakeProvider) -> None:
    """A conversation that outgrows the window gets a summary behind the turn, told from the next turn on."""
    provider.default = summarising(Reply([SUMMARY], usage=(70, 7)))
    async with small(shared_database_url, provider) as service:
        made = await grown(service, provider, turns=4)
        state = await summary_of(service, made)
        assert state.summary is not None
        assert (state.summary.content, state.summary.last % 2) == (SUMMARY, 0)
        answer = await told(service, made, "Last")
        system, *rest = provider.calls[-1].body["messages"]
        assert system["content"].startswith("Be kind.")
        assert SUMMARY in system["content"]
        reply = answer["messages"][-1]
        context = await got(service, f"{messages_of(made)}/{reply['message_id']}/context")
        assert (context["summary"]["first"], context["summary"]["content"]) == (1, SUMMARY)
        covered = context["summary"]["last"]
        assert context["omitted"] == [{"first": 1, "last": covered, "reason": "summarised"}]
        numbers = [each["sequence_number"] for each in context["messages"]]
        assert numbers == [None, *range(covered + 1, reply["sequence_number"])]
        assert len(rest) == len(numbers) - 1
        usage = await got(service, "/usage", user_id="eve")
        assert sum(row["turns"] for row in usage) >= 5
        assert sum(row["input_tokens"] for row in usage) > 70


async def test_a_summary_rolls_on(shared_database_url: str, provider: FakeProvider) -> None:
    """The next summary is written from the last one and what was said since, not from all that was ever said."""
    provider.default = summarising(Reply([SUMMARY]))
    async with small(shared_database_url, provider) as service:
        made = await grown(service, provider, turns=14)
        asked = [call.body["messages"][1]["content"] for call in provider.calls if is_summary(call)]
        assert len(asked) >= 2
        assert "(none)" in asked[0]
        assert all(SUMMARY in each for each in asked[1:])
        assert len(asked) < 12  # each makes room for some turns to come
        state = await summary_of(service, made)
        assert state.summary is not None
        assert state.summary.last < 28


async def test_no_turn_waits_for_a_summary(shared_database_url: str, provider: FakeProvider) -> None:
    """While a summary is being written turns go on as if there were none, and only one is written at a time."""
    gate = asyncio.Event()
    provider.default = summarising(Reply([gate, SUMMARY]))
    async with small(shared_database_url, provider) as service:
        made = await make(service, user_id="eve")
        for _ in range(8):
            await told(service, made, LONG)
        assert sum(map(is_summary, provider.calls)) == 1
        gate.set()
        await quiet(service)
        assert (await summary_of(service, made)).summary is not None


@pytest.mark.parametrize("change", ["edit", "delete"])
async def test_a_summary_goes_with_what_it_covers(
    shared_database_url: str, provider: FakeProvider, change: str
) -> None:
    """When a message that it covers is edited or deleted, the summary is dropped, and told to no later turn."""
    provider.default = summarising(Reply([SUMMARY]))
    async with small(shared_database_url, provider) as service:
        made = await grown(service, provider)
        first = (await got(service, messages_of(made), limit=1))[0]
        path = f"{messages_of(made)}/{first['message_id']}"
        last = (await told(service, made, "Before"))["messages"][-1]
        await (service.client.put(path, json={"content": "v"}) if change == "edit" else service.client.delete(path))
        assert (await summary_of(service, made)).summary is None
        await told(service, made, "After")
        turn = next(call for call in reversed(provider.calls) if not is_summary(call))
        assert SUMMARY not in str(turn.body)
        context = await got(service, f"{messages_of(made)}/{last['message_id']}/context")
        assert context["summary"]["content"] is None
        await quiet(service)


async def test_a_summary_goes_when_a_reply_that_it_covers_is_superseded(
    shared_database_url: str, provider: FakeProvider
) -> None:
    """A regenerate is told no summary of its own question; if it fails that one stays, with text it is dropped."""
    written = itertools.count(1)
    provider.default = lambda call: Reply([f"Notes {next(written)}." if is_summary(call) else "w" * 100], usage=None)
    async with small(shared_database_url, provider) as service:
        made = await grown(service, provider)
        summary = (await summary_of(service, made)).summary
        assert summary is not None
        messages = await got(service, messages_of(made))
        for each in messages[summary.last :]:
            await service.client.delete(f"{messages_of(made)}/{each['message_id']}")
        reply = messages[summary.last - 1]
        path = f"{messages_of(made)}/{reply['message_id']}/regenerate"
        provider.answer(context_too_long(), context_too_long())
        assert (await service.client.post(path, json={})).status_code == 422
        assert (await summary_of(service, made)).summary == summary
        revision = (await summary_of(service, made)).revision
        assert (await service.client.post(path, json={})).status_code == 201
        turn = next(call for call in reversed(provider.calls) if not is_summary(call))
        assert turn.body["messages"][-1]["content"] == messages[summary.last - 2]["content"]
        assert summary.content not in str(turn.body)
        await quiet(service)
        assert (await summary_of(service, made)).revision > revision
        assert await service.database.read(summaries.summary_by_id, summary.summary_id) is None


async def test_a_summary_stays_when_something_else_changes(shared_database_url: str, provider: FakeProvider) -> None:
    """An edit behind what the summary covers leaves it alone."""
    provider.default = summarising(Reply([SUMMARY]))
    async with small(shared_database_url, provider) as service:
        made = await grown(service, provider)
        question = (await got(service, messages_of(made), order="desc", limit=2))[1]
        await service.client.put(f"{messages_of(made)}/{question['message_id']}", json={"content": "v"})
        assert (await summary_of(service, made)).summary is not None


async def test_a_summary_is_stored_only_against_what_it_has_read(
    shared_database_url: str, provider: FakeProvider
) -> None:
    """A message that is deleted while its summary is written takes the summary with it."""
    gate = asyncio.Event()
    provider.default = summarising(Reply([gate, SUMMARY]))
    async with small(shared_database_url, provider) as service:
        made = await make(service, user_id="eve")
        while not any(map(is_summary, provider.calls)):
            await told(service, made, LONG)
            await asyncio.sleep(0)
        first = (await got(service, messages_of(made), limit=1))[0]
        await service.client.delete(f"{messages_of(made)}/{first['message_id']}")
        gate.set()
        await quiet(service)
        assert (await summary_of(service, made)).summary is None


async def test_a_summary_that_fails_hurts_nobody(shared_database_url: str, provider: FakeProvider) -> None:
    """Without a summary the newest messages are told, as ever."""
    provider.default = summarising(server_error())
    async with small(shared_database_url, provider) as service:
        made = await grown(service, provider, turns=5)
        assert (await summary_of(service, made)).summary is None
        assert (await got(service, path_of(made)))["message_count"] == 10


async def test_summaries_can_be_turned_off(shared_database_url: str, provider: FakeProvider) -> None:
    """With SUMMARIES=false no model is asked for one."""
    provider.default = summarising(Reply([SUMMARY]))
    async with small(shared_database_url, provider, summaries=False) as service:
        await grown(service, provider, turns=5)
        assert not any(map(is_summary, provider.calls))


async def titled(service: Service, **body: Any) -> dict[str, Any]:
    """A conversation after its first turn, and after the title."""
    made = await make(service, user_id="eve", message="What is **so** special?", **body)
    await quiet(service)
    found: dict[str, Any] = await got(service, path_of(made))
    return found


def titling(answer: Answer) -> Callable[[Call], Answer]:
    """A provider that answers titles with this, and echoes otherwise."""
    return lambda call: answer if is_title(call) else echo(call)


async def test_a_model_titles_a_conversation(shared_database_url: str, provider: FakeProvider) -> None:
    """With TITLE_MODEL the first turn's title is replaced by a model's, without its thinking, marks and quotes."""
    provider.default = titling(Reply([Thought("Hm."), '<think>So?</think>\n**Title:** "Something special".\n']))
    configured = asking(provider, database_url=shared_database_url, title_model="groq:tiny")
    async with serving(configured) as service:
        made = await titled(service)
        assert (made["title"], made["title_source"]) == ("Something special", "model")
        [call] = [call for call in provider.calls if is_title(call)]
        assert (call.dialect is not None, call.body["model"]) == (True, "tiny")
        await told(service, made, "More")
        await quiet(service)
        assert sum(map(is_title, provider.calls)) == 1


async def test_a_person_s_title_is_never_overwritten(shared_database_url: str, provider: FakeProvider) -> None:
    """A title that was given, also while the model's is written, stays; no model is asked for one in its place."""
    gate = asyncio.Event()
    provider.default = titling(Reply([gate, "A model's"]))
    async with serving(asking(provider, database_url=shared_database_url, title_model="tiny")) as service:
        given = await make(service, user_id="eve", message="Already titled", title="Mine")
        later, without = [await make(service, user_id="eve", message="Hello") for _ in range(2)]
        await service.client.patch(path_of(later), json={"title": "Mine too"})
        await service.client.patch(path_of(without), json={"title": None})
        gate.set()
        await quiet(service)
        assert [(await got(service, path_of(each)))["title"] for each in (given, later, without)] == [
            "Mine",
            "Mine too",
            None,
        ]
        assert not any(
            "Already titled" in call.body["messages"][1]["content"] for call in filter(is_title, provider.calls)
        )


@pytest.mark.parametrize(
    "answer",
    [
        server_error(),
        Reply([]),
        Reply(["<think>for ever"]),
        Reply(['"" ']),
        Reply(["x"], finish="content_filter"),
        Reply(["I'm sorry, but I can't help with that."]),
        Reply(['```json\n{"title": null}\n```']),
    ],
)
async def test_a_title_that_fails_leaves_the_first(
    shared_database_url: str, provider: FakeProvider, answer: Answer
) -> None:
    """A model that fails, or says nothing of use, leaves the title that the first message gave."""
    provider.default = titling(answer)
    async with serving(asking(provider, database_url=shared_database_url, title_model="tiny")) as service:
        made = await titled(service)
        assert (made["title"], made["title_source"]) == ("What is so special?", "message")


async def test_titles_are_off_by_default(openai_service: Service, provider: FakeProvider) -> None:
    """Without TITLE_MODEL no model is asked for one."""
    made = await make(openai_service, message="Hello")
    assert (made["title"], len(provider.calls)) == ("Hello", 1)
