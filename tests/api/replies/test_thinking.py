"""Thinking of which only the end is marked: text that was sent once is not withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from tests.support.parley_client import ParleyClient
from tests.support.provider import FakeProvider
from tests.support.sse import Event

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read_text(stream: AbstractAsyncContextManager[AsyncIterator[Event]], gate: asyncio.Event) -> str:
    """Return the text of a stream, and let the model continue once its first part has arrived."""
    text = ""
    async with stream as events:
        async for event in events:
            text += event.data.get("delta", "")
            if text:
                gate.set()
    return text


@pytest.mark.parametrize("resumed", [False, True])
async def test_streamed_thinking_stays_text(openai_client: ParleyClient, provider: FakeProvider, resumed: bool) -> None:
    """A first or resumed reader has the stored text: with the thinking, without its mark."""
    gate = asyncio.Event()
    provider.reply("hmm ", gate, "so\n</think>\n\nHi")
    conversation = await openai_client.create_conversation()
    model = f"thinker-{resumed}"
    if resumed:
        accepted = await openai_client.post_message(conversation, "Hello", model=model, background=True)
        stream = openai_client.stream_events(f"{accepted.headers['location']}/events")
    else:
        stream = openai_client.stream(conversation, "Hello", model=model)
    text = await read_text(stream, gate)
    reply = (await openai_client.get_messages(conversation, include="reasoning"))[-1]
    assert (reply["content"], reply["reasoning"]) == (text, None) == ("hmm so\n\n\nHi", None)


async def test_saved_thinking_stays_text(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Text that a checkpoint has saved is not withdrawn either."""
    gate = asyncio.Event()
    provider.reply("hmm ", gate, "so\n</think>\n\nHi")
    conversation = await openai_client.create_conversation()
    await openai_client.post_message(conversation, "Hello", model="thinker-saved", background=True)
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
        await openai_client.post_message(conversation, "Hello", model="thinker", stream=stream)
        reply = (await openai_client.get_messages(conversation, include="reasoning"))[-1]
        assert (reply["content"], reply["reasoning"]) == ("Hi", "hmm so\n")
    assert (await openai_client.send(conversation, "Hello"))["assistant_reply"] == "Echo: Hello"
