"""Grounded turns across processes, outages and fallbacks: retrieval results are stored with the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.domain.refusals import nothing_found
from app.services.runtime.timings import Timings
from app.services.search.service import DocumentSearch
from app.services.turns.checkpoints import CheckpointWriter
from tests.support.background import recover
from tests.support.parley_client import messages_path
from tests.support.provider import FakeProvider
from tests.support.replies import rate_limited
from tests.support.service import Service, provider_settings, serving, settings
from tests.support.shelf import Shelf
from tests.support.turns import checkpoint_writer, dead_process, update_replies

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "When was the tower built?"
TEXT = "The tower was built in 1889."


async def rag_conversation(service: Service, **body: Any) -> dict[str, Any]:
    """Create a rag conversation of a user with one document."""
    shelf = Shelf(service)
    await service.client.post("/users", json={"user_id": "ada"})
    await shelf.add("ada", "tower.txt", TEXT)
    return await service.client.create_conversation(mode="rag", **body)


async def start_reply(service: Service, provider: FakeProvider, *steps: Any) -> str:
    """Start a grounded reply with some text, and return its path."""
    provider.reply("In 1889 [1]. ", *steps)
    accepted = await service.client.post_message(await rag_conversation(service), QUESTION, background=True)
    await provider.wait_calls(1)
    [run] = service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    return accepted.headers["location"]


async def test_retrieval_event_at_another_process(database_url: str, provider: FakeProvider) -> None:
    """A reader at another process gets the passages before the text."""
    configured = provider_settings(provider, database_url=database_url)
    async with serving(configured) as one, serving(configured) as other:
        gate = asyncio.Event()
        path = await start_reply(one, provider, gate, "So.")
        names = []
        async with other.client.stream_events(f"{path}/events") as events:
            async for event in events:
                names.append(event.name)
                if event.name == "retrieval.completed":
                    assert [each["quote"] for each in event.data["citations"]] == [TEXT]
                    gate.set()
        assert names[:3] == ["turn.started", "retrieval.completed", "message.delta"]
        again = await one.client.get_events(f"{path}/events")
        assert [event.name for event in again] == [*names[:3], "message.completed"]
        assert again[-1].data["message"]["grounded"] is True


async def test_interrupted_reply_keeps_citations(openai_service: Service, provider: FakeProvider) -> None:
    """A turn of a dead process cites what its saved text cites."""
    gate = asyncio.Event()
    path = await start_reply(openai_service, provider, gate)
    await checkpoint_writer(openai_service).save()
    await update_replies(openai_service, process_id=await dead_process(openai_service))
    await recover(openai_service)
    gate.set()
    reply = await openai_service.client.get_json(path)
    assert (reply["status"], reply["content"], reply["grounded"]) == ("interrupted", "In 1889 [1]. ", True)
    assert [(each["marker"], each["quote"]) for each in reply["citations"]] == [(1, TEXT)]
    context = await openai_service.client.get_json(f"{path}/context")
    assert (context["retrieval"], context["queries"]) == ({"status": "ok"}, [QUESTION])


async def test_endless_search_is_cancelled(
    openai_service: Service, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn is cancelled while its documents are searched, and no model is called."""
    conversation = await rag_conversation(openai_service)
    searching = asyncio.Event()

    class EndlessSearch(DocumentSearch):
        async def search(self, *_: Any) -> Any:
            searching.set()
            await asyncio.Event().wait()

    endless = EndlessSearch(openai_service.database, None)
    monkeypatch.setattr(openai_service.services.turns.executor.grounded.passages, "search", endless)
    accepted = await openai_service.client.post_message(conversation, QUESTION, background=True)
    await searching.wait()
    await CheckpointWriter(openai_service.database, openai_service.services.turns.executor, "none", Timings()).save()
    assert openai_service.database.connections_in_use == 0
    await openai_service.client.post(f"{accepted.headers['location']}/cancel")
    events = await openai_service.client.get_events(f"{accepted.headers['location']}/events")
    assert [event.name for event in events] == ["turn.started", "message.cancelled"]
    assert (events[-1].data["message"]["grounded"], provider.calls) == (False, [])


async def test_fallback_gets_same_passages(database_url: str, provider: FakeProvider) -> None:
    """The fallback gets the same prompt, and its citations resolve."""
    configured = provider_settings(provider, database_url=database_url, llm_fallbacks="groq")
    async with serving(configured) as service:
        conversation = await rag_conversation(service)
        provider.answer(rate_limited(60))
        provider.reply("In 1889 [1][2].")
        reply = (await service.client.send(conversation, QUESTION))["messages"][-1]
        assert (reply["provider"], reply["content"]) == ("groq", "In 1889 [1].")
        assert [call.body["messages"] for call in provider.calls[:1]] == [provider.calls[1].body["messages"]]
        assert [each["quote"] for each in reply["citations"]] == [TEXT]


@pytest_asyncio.fixture(loop_scope="module")
async def local_service(database_url: str) -> AsyncIterator[Service]:
    """A service with the embedded model."""
    async with serving(settings(database_url=database_url, llm_provider="local")) as service:
        yield service


async def test_extractive_reply(local_service: Service) -> None:
    """In the place of the embedded model a sentence is quoted at once, or the service refuses; no model is called."""
    conversation = await rag_conversation(local_service)
    reply = (await local_service.client.send(conversation, QUESTION))["messages"][-1]
    assert reply["content"] == "“The tower was built in 1889.” [1] (tower.txt)"
    assert (reply["grounded"], [each["quote"] for each in reply["citations"]]) == (True, [TEXT])
    nothing = (await local_service.client.send(conversation, "Wer gewann das Fußballspiel in Tokio?"))["messages"][-1]
    assert (nothing["content"], nothing["grounded"]) == (nothing_found("de"), False)
    for each in (reply, nothing):
        assert each["finish_reason"] == "stop"
        assert each["usage"] == {"input_tokens": 0, "output_tokens": 0, "estimated": False}
        attempts = await local_service.client.get_json(f"{messages_path(conversation)}/{each['message_id']}/attempts")
        assert attempts == []


async def test_extractive_fallback(database_url: str, provider: FakeProvider) -> None:
    """Where the fallback cannot cite, a sentence is quoted in its place."""
    configured = provider_settings(provider, database_url=database_url, llm_fallbacks="local")
    async with serving(configured) as service:
        conversation = await rag_conversation(service)
        provider.answer(rate_limited(60))
        reply = (await service.client.send(conversation, QUESTION))["messages"][-1]
        assert reply["content"] == "“The tower was built in 1889.” [1] (tower.txt)"
        assert (reply["status"], reply["finish_reason"], reply["grounded"]) == ("completed", "stop", True)
        assert len(provider.calls) == 1
