"""Groups of loads, each run on the floor and on Parley in turn, round after round."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import orjson

from benchmarks import report
from benchmarks.client import request
from benchmarks.contenders import WHOLE, Contender, Servers, labels, stopping
from benchmarks.ingest import ingest
from benchmarks.load import Load, Outcome, closed, listed, paced, replied, streamed
from benchmarks.overload import overload
from benchmarks.processes import resident_mb
from benchmarks.provider import reply_text
from benchmarks.report import Column, Report, Row
from benchmarks.search import search
from benchmarks.stores import REPLY_TOKENS, ConversationList

CLIENTS = (1, 16, 64)
HISTORY = 10
PAGE = 20
WARM_SECONDS = 0.4
STREAMS = 1_000
TOKENS_PER_SECOND = 20
RAMP_SECONDS = 2.0
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """Extent of the measurements."""

    groups: tuple[str, ...]
    databases: tuple[str, ...]
    seconds: float
    rounds: int
    quick: bool


@dataclass(frozen=True)
class Bench:
    """Servers, report and options of a run."""

    servers: Servers
    report: Report
    options: Options


@dataclass(frozen=True)
class Scenario:
    """One load, and the labels of its rows."""

    group: str
    database: str
    name: str
    columns: Sequence[Column]
    clients: int = 1
    length: int = HISTORY
    stream: bool = False

    def row(self, server: str, values: Row) -> Row:
        key = {"group": self.group, "database": self.database, "scenario": self.name, "clients": self.clients}
        return {**key, "history": self.length, "server": server, **values}


Once = Callable[[Contender, Scenario], Awaitable[Row]]


async def compare(bench: Bench, contenders: Sequence[Contender], scenario: Scenario, once: Once) -> None:
    """Run a load on the contenders alternately, so that a noisy moment affects them all, and report the medians."""
    rounds: dict[str, list[Row]] = {each.label: [] for each in contenders}
    for number in range(bench.options.rounds):
        for each in contenders[:: -1 if number % 2 else 1]:
            rounds[each.label].append(await once(each, scenario))
            each.server.must_run()
    rows = [scenario.row(label, report.median(values)) for label, values in rounds.items()]
    for row in report.with_ratios(rows, "cpu_ms"):
        bench.report.add(scenario.columns, row)


async def turns_once(bench: Bench, contender: Contender, scenario: Scenario) -> Row:
    """Run one load of turns on new conversations."""
    seconds, provider = bench.options.seconds, bench.servers.provider
    count = contender.needed(scenario.stream, scenario.length, scenario.clients, seconds)
    conversations = await contender.store.conversations(count, scenario.length)
    await provider.take_tally()
    watch = bench.servers.watch(contender, scenario.database)
    outcome = await closed(turn_load(contender, scenario.stream), conversations, scenario.clients, seconds, watch)
    contender.record_rate(scenario.stream, outcome.done / watch.seconds)
    tally = orjson.loads(await provider.take_tally())
    prompt_messages = tally["messages"] / max(1, tally["completions"])
    row = report.measured(outcome, REPLY_TOKENS if scenario.stream else 0)
    return row | {"prompt_messages": prompt_messages}


def turn_load(contender: Contender, stream: bool, tokens: int = REPLY_TOKENS) -> Load:
    text = reply_text(tokens)
    check = streamed(text) if stream else replied(text)
    return Load(contender.server.port, functools.partial(contender.request, stream=stream), check)


async def warm(bench: Bench, contenders: Sequence[Contender], database: str) -> None:
    """Run first turns, which load code and show how many conversations a load needs."""
    await bench.servers.provider.set(REPLY_TOKENS)
    for each in contenders:
        for stream in (False, True, False):
            conversations = await each.store.conversations(256, HISTORY)
            watch = bench.servers.watch(each, database)
            outcome = await closed(turn_load(each, stream), conversations, 4, WARM_SECONDS, watch)
            each.record_rate(stream, outcome.done / watch.seconds)


async def turns(bench: Bench, database: str) -> None:
    """Measure JSON turns with 1, 16 and 64 clients."""
    bench.report.head("turns", database, f"JSON, return=minimal, history {HISTORY}", report.TURNS)
    async with bench.servers.started(labels(database, full=not bench.options.quick), database) as contenders:
        await warm(bench, contenders, database)
        whole = replace(contenders[-1], label=WHOLE, prefer="handling=strict")
        for clients in CLIENTS:
            more = [whole] if clients == 16 else []
            scenario = Scenario("turns", database, "JSON", report.TURNS, clients)
            await compare(bench, [*contenders, *more], scenario, functools.partial(turns_once, bench))


async def stream(bench: Bench, database: str) -> None:
    """Measure streamed turns with 1, 16 and 64 clients."""
    note = f"SSE, {REPLY_TOKENS} tokens at once, history {HISTORY}"
    bench.report.head("stream", database, note, report.STREAM)
    async with bench.servers.started(labels(database, full=not bench.options.quick), database) as contenders:
        await warm(bench, contenders, database)
        for clients in CLIENTS:
            scenario = Scenario("stream", database, "SSE", report.STREAM, clients, stream=True)
            await compare(bench, contenders, scenario, functools.partial(turns_once, bench))


async def growth(bench: Bench, database: str) -> None:
    """Measure JSON turns in ever longer conversations."""
    bench.report.head("growth", database, "JSON, return=minimal; prompt: messages sent to the model", report.GROWTH)
    async with bench.servers.started(labels(database, full=False), database) as contenders:
        await warm(bench, contenders, database)
        for length in (10, 1_000, 10_000) if bench.options.quick else (10, 100, 1_000, 10_000):
            scenario = Scenario("growth", database, f"history {length}", report.GROWTH, 1, length)
            await compare(bench, contenders, scenario, functools.partial(turns_once, bench))


async def lists(bench: Bench, database: str) -> None:
    """Measure pages of a user's conversations, the first and one far down."""
    bench.report.head("list", database, f"pages of {PAGE} conversations of one user, by their number", report.LIST)
    async with bench.servers.started(labels(database, full=False), database) as contenders:
        for total in (100, 100_000) if bench.options.quick else (100, 10_000, 100_000):
            lists_by_label = {each.label: await each.store.conversation_list(total, PAGE) for each in contenders}
            for deep in (False, True):
                name = f"{total:,} {'deep' if deep else 'first'}"
                scenario = Scenario("list", database, name, report.LIST, 1)
                await compare(bench, contenders, scenario, functools.partial(pages_once, bench, lists_by_label, deep))


async def pages_once(
    bench: Bench, lists_by_label: dict[str, ConversationList], deep: bool, contender: Contender, scenario: Scenario
) -> Row:
    """Run one load that repeats the same page."""
    listing = lists_by_label[contender.label]
    cursor = f"&cursor={listing.deep_cursor}" if deep else ""
    page = request("GET", f"/conversations?user_id={listing.user_id}&limit={PAGE}{cursor}")
    check = listed(listing.deep_first if deep else listing.newest, PAGE)
    load = Load(contender.server.port, lambda _: page, check)
    watch = bench.servers.watch(contender, scenario.database)
    outcome = await closed(load, ["any"], scenario.clients, bench.options.seconds, watch)
    return report.measured(outcome)


async def slow(bench: Bench, database: str) -> None:
    """Measure a thousand streams of a model that writes at reading speed."""
    if bench.options.quick and database != bench.options.databases[0]:
        return
    note = f"SSE, {TOKENS_PER_SECOND} tokens/s; late: ms by which gaps were too long while all streams ran"
    bench.report.head("slow", database, note, report.SLOW)
    scenario = Scenario("slow", database, f"{STREAMS:,} streams", report.SLOW, STREAMS, stream=True)
    async with bench.servers.started(labels(database, full=False), database) as contenders:
        await warm(bench, contenders, database)
        direct = [] if bench.options.quick else [bench.servers.direct()]
        rows = [await slow_once(bench, each, scenario) for each in [*direct, *contenders]]
    for row in report.with_ratios(rows, "cpu_us_per_token"):
        bench.report.add(report.SLOW, row)


async def slow_once(bench: Bench, contender: Contender, scenario: Scenario) -> Row:
    """Run one load of slow streams."""
    interval, tokens = 1 / TOKENS_PER_SECOND, 60 if bench.options.quick else 200
    conversations = await contender.store.conversations(scenario.clients, HISTORY)
    load = turn_load(contender, True, tokens)
    watch = bench.servers.watch(contender, scenario.database)
    await bench.servers.provider.set(tokens, interval)
    outcome = await paced(load, conversations, interval, RAMP_SECONDS, 60 + 2 * tokens * interval, watch)
    await bench.servers.provider.set(REPLY_TOKENS)
    contender.server.must_run()
    return scenario.row(contender.label, slow_row(outcome, tokens, scenario.clients))


def slow_row(outcome: Outcome, tokens: int, streams: int) -> Row:
    grown = (outcome.watch.memory_peak_mb - outcome.watch.memory_before_mb) * 1024 / streams
    late = report.milliseconds(outcome.late, "late_") | report.milliseconds(outcome.late_at_edges, "edge_")
    return report.measured(outcome, tokens) | late | {"kb_per_stream": grown}


async def start(bench: Bench, database: str) -> None:
    """Measure the start on an empty and on an existing database, and the memory two seconds later."""
    bench.report.head("start", database, "until /readyz answers; memory 2 s later, no model called", report.START)
    rounds: dict[tuple[str, str], list[Row]] = {}
    for _ in range(bench.options.rounds):
        contenders = [bench.servers.new(label, database) for label in labels(database, full=False)]
        for what in ("empty database", "again"):
            for each, row in zip(contenders, await start_once(contenders), strict=True):
                rounds.setdefault((what, each.label), []).append(row)
    for (what, label), values in rounds.items():
        scenario = Scenario("start", database, what, report.START)
        bench.report.add(report.START, scenario.row(label, report.median(values)))


async def start_once(contenders: Sequence[Contender]) -> list[Row]:
    """Start the contenders one after the other, wait, and stop them."""
    with stopping(contenders):
        ready = [await each.server.start() for each in contenders]
        await asyncio.sleep(SETTLE_SECONDS)
        idle = [resident_mb(each.server.pid) for each in contenders]
    rows = zip(ready, idle, strict=True)
    return [{"ready_s": ready_s, "idle_mb": idle_mb, "failed": 0, "failures": {}} for ready_s, idle_mb in rows]


GROUPS: dict[str, Callable[[Bench, str], Awaitable[None]]] = {
    "start": start,
    "turns": turns,
    "stream": stream,
    "growth": growth,
    "list": lists,
    "slow": slow,
    "overload": overload,
    "ingest": ingest,
    "search": search,
}
