"""Thinking of which only the end is marked, as callers see it: what was shown once is not taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.talk import got, live_events, make, messages_of, told, until_accepted, until_ended
from tests.support.provider import FakeProvider
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def followed(service: Service, gate: asyncio.Event, path: str, **how: Any) -> str:
    """The text that a reader of a stream is sent, who lets the model go on once the first of it has come."""
    text = ""
    async with service.client.http.stream(url=path, **how) as response:
        async for each in live_events(response):
            text += each.data.get("delta", "")
            if text:
                gate.set()
    return text


@pytest.mark.parametrize("resumed", [False, True])
async def test_what_a_reader_was_sent_stays_text(
    openai_service: Service, provider: FakeProvider, resumed: bool
) -> None:
    """A reader, the first or a resumed one, has the text that is stored: with the thinking, without its mark."""
    gate = asyncio.Event()
    provider.reply("hmm ", gate, "so\n</think>\n\nHi")
    made = await make(openai_service)
    body = {"message": "Hello", "model": f"thinker-{resumed}"}
    if resumed:
        accepted = await openai_service.client.post(messages_of(made), json=body | {"background": True})
        path = f"{accepted.headers['location']}/events"
        text = await followed(openai_service, gate, path, method="GET")
    else:
        text = await followed(openai_service, gate, messages_of(made), method="POST", json=body | {"stream": True})
    reply = (await got(openai_service, messages_of(made), include="reasoning"))[-1]
    assert (reply["content"], reply["reasoning"]) == (text, None) == ("hmm so\n\n\nHi", None)


async def test_what_was_saved_stays_text(openai_service: Service, provider: FakeProvider) -> None:
    """Text that a checkpoint has saved, which any reader may have seen since, is not taken back either."""
    gate = asyncio.Event()
    provider.reply("hmm ", gate, "so\n</think>\n\nHi")
    made = await make(openai_service)
    body = {"message": "Hello", "model": "thinker-saved", "background": True}
    await openai_service.client.post(messages_of(made), json=body)
    await until_accepted(openai_service, made, 2)
    async with asyncio.timeout(30):
        while not (await got(openai_service, messages_of(made)))[-1]["content"]:
            pass
    gate.set()
    assert (await until_ended(openai_service, made))["content"] == "hmm so\n\n\nHi"


async def test_what_nobody_was_sent_is_reasoning(openai_service: Service, provider: FakeProvider) -> None:
    """Without a reader the thinking is parted; of a model that was seen to do so, for a reader too."""
    made = await make(openai_service)
    for stream in (False, True):
        provider.reply("hmm ", "so\n</think>\n\nHi")
        body = {"message": "Hello", "model": "thinker", "stream": stream}
        await openai_service.client.post(messages_of(made), json=body)
        reply = (await got(openai_service, messages_of(made), include="reasoning"))[-1]
        assert (reply["content"], reply["reasoning"]) == ("Hi", "hmm so\n")
    assert (await told(openai_service, made, "Hello"))["assistant_reply"] == "Echo: Hello"
