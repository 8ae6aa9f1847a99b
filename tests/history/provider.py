"""The provider of a history: slow, so that faults hit running replies, and with a reply for each question."""

from __future__ import annotations

import asyncio
import time

from tests.history.check import reply_to
from tests.history.record import Call, Record
from tests.support import provider
from tests.support.replies import Answer, Reply, Step

PIECES = 8
PAUSE_SECONDS = 0.06


class SlowProvider(provider.FakeProvider):
    """Sends `reply_to` of each question in a few pieces, and records the time of each call."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.default = self._answer
        self._record = record
        self._watching: set[asyncio.Task[None]] = set()

    def _answer(self, call: provider.Call) -> Answer:
        prompt = [message["content"] for message in call.body["messages"]]
        question = prompt[-1]
        recorded = Call(question, time.monotonic(), prompt=prompt)
        self._record.calls.append(recorded)
        watching = asyncio.create_task(watch(call, recorded))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return Reply(paused(reply_to(question)))


async def watch(call: provider.Call, recorded: Call) -> None:
    """Record when a call ended, or its connection was closed."""
    ends = [asyncio.create_task(event.wait()) for event in (call.finished, call.closed)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    recorded.ended = time.monotonic()
    for end in ends:
        end.cancel()


def paused(text: str) -> list[Step]:
    """Split a text into pieces with a pause before each but the first."""
    size = -(-len(text) // PIECES)
    steps: list[Step] = []
    for number in range(PIECES):
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(number * PAUSE_SECONDS, gate.set)
        steps += [gate, text[number * size : (number + 1) * size]]
    return steps
