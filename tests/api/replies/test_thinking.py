"""Thinking of which only the end is marked: text that was sent once is not withdrawn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient, messages_path
from tests.support.provider import FakeProvider
from tests.support.sse import live_events

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def followed(client: ParleyClient, gate: asyncio.Event, path: str, **how: Any) -> str:
    """The text that a reader of a stream is sent, who lets the model go on once the first of it has come."""
    text = ""
    async with client.http.stream(url=path, **how) as response:
        async for each in live_events(response):
            text += each.data.get("delta", "")
            if text:
                gate.set()
    return text


@pytest.mark.parametrize("resumed", [False, True])
async def test_streamed_thinking_stays_text(openai_client: ParleyClient, provider: FakeProvider, resumed: bool) -> None:
    """A first or resumed reader has the stored text: with the thinking, without its mark."""
    gate = asyncio.Event()
    provider.reply("hmm ", gate, "so\n</think>\n\nHi")
    conversation = await openai_client.create_conversation()
    body = {"message": "Hello", "model": f"thinker-{resumed}"}
    if resumed:
        accepted = await openai_client.post(messages_path(conversation), json=body | {"background": True})
        path = f"{accepted.headers['location']}/events"
        text = await followed(openai_client, gate, path, method="GET")
    else:
        text = await followed(
            openai_client, gate, messages_path(conversation), method="POST", json=body | {"stream": True}
        )
    reply = (await openai_client.get_messages(conversation, include="reasoning"))[-1]
    assert (reply["content"], reply["reasoning"]) == (text, None) == ("hmm so\n\n\nHi", None)


async def test_saved_thinking_stays_text(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Text that a checkpoint has saved is not withdrawn either."""
    gate = asyncio.Event()
    provider.reply("hmm ", gate, "so\n</think>\n\nHi")
    conversation = await openai_client.create_conversation()
    body = {"message": "Hello", "model": "thinker-saved", "background": True}
    await openai_client.post(messages_path(conversation), json=body)
    await openai_client.wait_for_count(conversation, 2)
    async with asyncio.timeout(30):
        while not (await openai_client.get_messages(conversation))[-1]["content"]:
            pass
    gate.set()
    assert (await openai_client.wait_until_ended(conversation))["content"] == "hmm so\n\n\nHi"


async def test_unseen_thinking_is_reasoning(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Without a reader the thinking becomes reasoning; of a model known for it, for a reader too."""
    conversation = await openai_client.create_conversation()
    for stream in (False, True):
        provider.reply("hmm ", "so\n</think>\n\nHi")
        body = {"message": "Hello", "model": "thinker", "stream": stream}
        await openai_client.post(messages_path(conversation), json=body)
        reply = (await openai_client.get_messages(conversation, include="reasoning"))[-1]
        assert (reply["content"], reply["reasoning"]) == ("Hi", "hmm so\n")
    assert (await openai_client.send(conversation, "Hello"))["assistant_reply"] == "Echo: Hello"
