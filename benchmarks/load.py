"""Loads: turns in a closed loop, streams at a reader's pace, pages of a list. Every answer is checked."""

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

from benchmarks.client import TIMEOUT_SECONDS, Answer, Connection, completed, deltas
from benchmarks.processes import Watch

MAX_FAILURES = 100
"""A load stops after so many failures, since its measurements mean nothing."""

SETTLING_SECONDS = 0.5
"""Time from the start of the last stream until only deltas are left."""

Check = Callable[[Answer], str | None]
"""Returns the fault of an answer, or None."""


@dataclass
class Outcome:
    """Measurements of a load."""

    watch: Watch
    latencies: list[float] = field(default_factory=list)
    """Seconds of each correct answer."""
    late: list[float] = field(default_factory=list)
    """Seconds by which gaps between deltas of paced streams exceeded their interval."""
    late_at_edges: list[float] = field(default_factory=list)
    """The same while streams started or ended, which is work of another kind."""
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return len(self.latencies)

    @property
    def hopeless(self) -> bool:
        return self.failures.total() > MAX_FAILURES


@dataclass(frozen=True)
class Load:
    """A repeated request to a server, and the check of its answers."""

    port: int
    request: Callable[[str], bytes]
    """Returns the request for a conversation."""
    check: Check


async def closed(load: Load, conversations: Sequence[str], clients: int, seconds: float, watch: Watch) -> Outcome:
    """Run clients that each send the next request after an answer; no two use a conversation at the same time."""
    outcome, pool = Outcome(watch), deque(conversations)

    async def client() -> None:
        connection = Connection(load.port)
        while time.perf_counter() < deadline and not outcome.hopeless:
            conversation = pool.popleft()
            await send(connection, load, conversation, outcome)
            pool.append(conversation)
        connection.close()

    async with watch:
        deadline = time.perf_counter() + seconds
        await asyncio.gather(*(client() for _ in range(clients)))
    return outcome


async def paced(
    load: Load, conversations: Sequence[str], interval: float, ramp: float, seconds: float, watch: Watch
) -> Outcome:
    """Run a stream for each conversation, all in parallel, started over `ramp` seconds."""
    outcome, answers = Outcome(watch), list[Answer]()

    async def stream(number: int, conversation: str) -> None:
        await asyncio.sleep(ramp * number / len(conversations))
        connection = Connection(load.port)
        answer = await send(connection, load, conversation, outcome, seconds)
        connection.close()
        if answer is not None:
            answers.append(answer)

    begun = time.perf_counter()
    async with watch:
        await asyncio.gather(*(stream(*each) for each in enumerate(conversations)))
    record_lateness(outcome, answers, interval, begun + ramp + SETTLING_SECONDS)
    return outcome


async def steady(
    load: Load, conversations: Sequence[str], interval: float, lasting: asyncio.Future[Any], watch: Watch
) -> Outcome:
    """Send a request each `interval` seconds, without waiting for earlier answers, until `lasting` is done."""
    outcome, idle, running = Outcome(watch), list[Connection](), set[asyncio.Task[None]]()
    due = time.perf_counter()

    async def once(conversation: str) -> None:
        connection = idle.pop() if idle else Connection(load.port)
        await send(connection, load, conversation, outcome)
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


async def send(
    connection: Connection, load: Load, conversation: str, outcome: Outcome, seconds: float = TIMEOUT_SECONDS
) -> Answer | None:
    """Send a request; return its answer, or None if that is wrong."""
    request, begun = load.request(conversation), time.perf_counter()
    try:
        answer = await connection.send(request, seconds)
    except OSError as error:
        outcome.failures[type(error).__name__] += 1
        return None
    taken = time.perf_counter() - begun
    if wrong := load.check(answer):
        outcome.failures[wrong] += 1
        return None
    outcome.latencies.append(taken)
    return answer


def record_lateness(outcome: Outcome, answers: Sequence[Answer], interval: float, steady: float) -> None:
    """Record the gaps of all streams, separately for the time in which all of them ran, from `steady` on."""
    first_end = min((answer.pieces[-1][0] for answer in answers), default=steady)
    for answer in answers:
        before = None
        for moment in moments_of_deltas(answer):
            if before is not None:
                gaps = outcome.late if steady <= before and moment <= first_end else outcome.late_at_edges
                gaps.append(max(0.0, moment - before - interval))
            before = moment


def moments_of_deltas(answer: Answer) -> Iterator[float]:
    """Yield the time at which each delta had arrived."""
    ends, moments, received = [], [], 0
    for moment, data in answer.pieces:
        received += len(data)
        ends.append(received)
        moments.append(moment)
    for delta in deltas(answer.body):
        yield moments[min(bisect.bisect_left(ends, delta.end), len(ends) - 1)]


def replied(text: str) -> Check:
    """Check that a turn's answer has this reply."""

    def check(answer: Answer) -> str | None:
        if answer.status != 201:
            return refusal(answer)
        return None if orjson.loads(answer.body)["assistant_reply"] == text else "another text"

    return check


def streamed(text: str) -> Check:
    """Check that a stream has exactly this text and its proper end."""

    def check(answer: Answer) -> str | None:
        if answer.status != 200:
            return refusal(answer)
        body = answer.body
        if not completed(body):
            return "no end"
        return None if "".join(delta.text for delta in deltas(body)) == text else "another text"

    return check


def listed(first: str, count: int) -> Check:
    """Check that a page has this number of conversations and begins with this one."""

    def check(answer: Answer) -> str | None:
        if answer.status != 200:
            return refusal(answer)
        page = orjson.loads(answer.body)
        correct = len(page) == count and str(page[0]["conversation_id"]) == first
        return None if correct else "another page"

    return check


def refusal(answer: Answer) -> str:
    """Return the status and, for a problem, its code."""
    try:
        return f"{answer.status} {orjson.loads(answer.body)['code']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"status {answer.status}"
