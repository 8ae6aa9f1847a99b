"""The provider of a history: slow, so that faults hit replies amid; its answer follows from the question."""

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
    """Says `reply_to` of each question in a few pieces, and takes down for how long it was asked."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.default = self._answer
        self._record = record
        self._watching: set[asyncio.Task[None]] = set()

    def _answer(self, call: provider.Call) -> Answer:
        told = [message["content"] for message in call.body["messages"]]
        question = told[-1]
        taken_down = Call(question, time.monotonic(), told=told)
        self._record.calls.append(taken_down)
        watching = asyncio.create_task(watch(call, taken_down))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return Reply(paused(reply_to(question)))


async def watch(call: provider.Call, taken_down: Call) -> None:
    """Takes down when an answer was over, or left."""
    ends = [asyncio.create_task(event.wait()) for event in (call.finished, call.closed)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    taken_down.ended = time.monotonic()
    for end in ends:
        end.cancel()


def paused(text: str) -> list[Step]:
    """A text in pieces, with a pause before each but the first."""
    size = -(-len(text) // PIECES)
    steps: list[Step] = []
    for number in range(PIECES):
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(number * PAUSE_SECONDS, gate.set)
        steps += [gate, text[number * size : (number + 1) * size]]
    return steps
