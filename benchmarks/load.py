"""The loads: turns in a closed loop, streams at a reader's pace, pages of a list. Every answer is checked."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from benchmarks.client import Answer, Connection, completed, deltas
from benchmarks.processes import Watch

MAX_FAILURES = 100
"""After so many, a load is given up: it measures nothing any more."""

SETTLING_SECONDS = 0.5
"""From the last stream's beginning until only their deltas are left to do."""

Check = Callable[[Answer], str | None]
"""Gives what is wrong with an answer, or None."""


@dataclass
class Outcome:
    """What a load has met."""

    watch: Watch
    latencies: list[float] = field(default_factory=list)
    """Seconds of each answer that was right."""
    late: list[float] = field(default_factory=list)
    """Of paced streams: seconds by which a gap between two deltas was longer than it should have been."""
    late_at_edges: list[float] = field(default_factory=list)
    """The same while streams still began or ended already, which is work of another kind."""
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return len(self.latencies)

    @property
    def hopeless(self) -> bool:
        return self.failures.total() > MAX_FAILURES


@dataclass(frozen=True)
class Load:
    """What is asked of a server again and again."""

    port: int
    request: Callable[[str], bytes]
    """Gives the request for a conversation."""
    check: Check


async def closed(load: Load, conversations: Sequence[str], clients: int, seconds: float, watch: Watch) -> Outcome:
    """So many clients, each asking again as soon as it has its answer; no two use a conversation at once."""
    outcome, pool = Outcome(watch), deque(conversations)

    async def client() -> None:
        connection = Connection(load.port)
        while time.perf_counter() < deadline and not outcome.hopeless:
            conversation = pool.popleft()
            await ask(connection, load, conversation, outcome)
            pool.append(conversation)
        connection.close()

    async with watch:
        deadline = time.perf_counter() + seconds
        await asyncio.gather(*(client() for _ in range(clients)))
    return outcome


async def paced(
    load: Load, conversations: Sequence[str], interval: float, ramp: float, patience: float, watch: Watch
) -> Outcome:
    """One stream for each conversation, all at once, begun over `ramp` seconds."""
    outcome, answers = Outcome(watch), list[Answer]()

    async def stream(number: int, conversation: str) -> None:
        await asyncio.sleep(ramp * number / len(conversations))
        connection = Connection(load.port)
        answer = await ask(connection, load, conversation, outcome, patience)
        connection.close()
        if answer is not None:
            answers.append(answer)

    begun = time.perf_counter()
    async with watch:
        await asyncio.gather(*(stream(*each) for each in enumerate(conversations)))
    note_lateness(outcome, answers, interval, begun + ramp + SETTLING_SECONDS)
    return outcome


async def steady(
    load: Load, conversations: Sequence[str], interval: float, lasting: asyncio.Future[Any], watch: Watch
) -> Outcome:
    """A request each `interval` seconds, whatever has become of those before, for as long as something lasts."""
    outcome, idle, running = Outcome(watch), list[Connection](), set[asyncio.Task[None]]()
    due = time.perf_counter()

    async def once(conversation: str) -> None:
        connection = idle.pop() if idle else Connection(load.port)
        await ask(connection, load, conversation, outcome)
        idle.append(connection)

    async with watch:
        for conversation in itertools.cycle(conversations):
            if lasting.done() or outcome.hopeless:
                break
            running.add(task := asyncio.create_task(once(conversation)))
            task.add_done_callback(running.discard)
            due += interval
            await asyncio.wait([lasting], timeout=max(0.0, due - time.perf_counter()))
        await asyncio.gather(*running)
    for connection in idle:
        connection.close()
    return outcome


async def ask(
    connection: Connection, load: Load, conversation: str, outcome: Outcome, patience: float = 30.0
) -> Answer | None:
    """One request; its answer if that was right."""
    request, begun = load.request(conversation), time.perf_counter()
    try:
        answer = await connection.ask(request, patience)
    except OSError as error:
        outcome.failures[type(error).__name__] += 1
        return None
    taken = time.perf_counter() - begun
    if wrong := load.check(answer):
        outcome.failures[wrong] += 1
        return None
    outcome.latencies.append(taken)
    return answer


def note_lateness(outcome: Outcome, answers: Sequence[Answer], interval: float, steady: float) -> None:
    """Sorts the gaps of all streams into those while all of them ran, from `steady` on, and the others."""
    first_end = min((answer.pieces[-1][0] for answer in answers), default=steady)
    for answer in answers:
        before = None
        for moment in moments_of_deltas(answer):
            if before is not None:
                gaps = outcome.late if steady <= before and moment <= first_end else outcome.late_at_edges
                gaps.append(max(0.0, moment - before - interval))
            before = moment


def moments_of_deltas(answer: Answer) -> Iterator[float]:
    """When each delta was there whole."""
    ends, moments, received = [], [], 0
    for moment, data in answer.pieces:
        received += len(data)
        ends.append(received)
        moments.append(moment)
    for delta in deltas(answer.body):
        yield moments[min(bisect.bisect_left(ends, delta.end), len(ends) - 1)]


def replied(text: str) -> Check:
    """The answer of a turn, with this reply."""

    def check(answer: Answer) -> str | None:
        if answer.status != 201:
            return refusal(answer)
        return None if orjson.loads(answer.body)["assistant_reply"] == text else "another text"

    return check


def streamed(text: str) -> Check:
    """A stream of exactly this text, with its proper end."""

    def check(answer: Answer) -> str | None:
        if answer.status != 200:
            return refusal(answer)
        body = answer.body
        if not completed(body):
            return "no end"
        return None if "".join(delta.text for delta in deltas(body)) == text else "another text"

    return check


def listed(first: str, count: int) -> Check:
    """A page of so many conversations, beginning with this one."""

    def check(answer: Answer) -> str | None:
        if answer.status != 200:
            return refusal(answer)
        page = orjson.loads(answer.body)
        right = len(page) == count and str(page[0]["conversation_id"]) == first
        return None if right else "another page"

    return check


def refusal(answer: Answer) -> str:
    """The status, and the problem's code where there is one."""
    try:
        return f"{answer.status} {orjson.loads(answer.body)['code']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"status {answer.status}"
