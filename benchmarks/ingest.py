"""Turns beside the ingest of documents: what it costs those who only talk."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence

import orjson

from benchmarks import report, texts
from benchmarks.client import Connection, request, upload
from benchmarks.contenders import SERVICE, Contender
from benchmarks.load import Load, Outcome, replied, steady
from benchmarks.processes import ServerFailed
from benchmarks.provider import reply_text
from benchmarks.report import Row
from benchmarks.stores import REPLY_TOKENS

DOCUMENTS = 100
PASSAGES = 100
TOKENS = 200
"""Of a passage, which becomes a chunk, more or less."""
TURNS_PER_SECOND = 40
ALONE_SECONDS = 20.0
LONGEST_SECONDS = 120.0
"""The embedded model would take a quarter of an hour for all: turns are looked at for so long."""
LOOK_SECONDS = 1.0
SENDERS = 2
USER = "reader"
HISTORY = 10
EMBEDDERS = {"endpoint": {"embedding_provider": "openai", "embedding_model": "bench"}, "local": {}}


async def ingest(bench, database: str) -> None:
    """A steady stream of turns alone, then beside the ingest of 10,000 chunks, by where they are embedded."""
    note = (
        f"{TURNS_PER_SECOND} JSON turns a second, alone and beside {DOCUMENTS * PASSAGES:,} chunks of ~{TOKENS} tokens"
    )
    bench.report.head("ingest", database, note, report.INGEST)
    for embedder, settings in EMBEDDERS.items():
        async with bench.house.started([SERVICE], database, **settings) as [contender]:
            row = await beside(bench, contender, database)
            contender.server.must_run()
        row |= {"group": "ingest", "database": database, "scenario": embedder, "clients": 1, "server": SERVICE}
        bench.report.add(report.INGEST, row)


async def beside(bench, contender: Contender, database: str) -> Row:
    """Both loads on one server."""
    await bench.house.provider.set(REPLY_TOKENS)
    seconds = 2.0 if bench.options.quick else ALONE_SECONDS
    await talk(bench, contender, database, asyncio.sleep(1))
    alone = await talk(bench, contender, database, asyncio.sleep(seconds))
    count = 5 if bench.options.quick else DOCUMENTS
    reading = asyncio.create_task(
        read(contender, list(documents(count)), seconds if bench.options.quick else LONGEST_SECONDS)
    )
    during = await talk(bench, contender, database, reading)
    chunks, taken = await reading
    return compared(alone, during) | {"chunks": chunks, "chunks_per_second": chunks / taken}


async def talk(bench, contender: Contender, database: str, lasting) -> Outcome:
    """Turns for as long as something lasts."""
    conversations = await contender.store.conversations(TURNS_PER_SECOND * 10, HISTORY)
    load = Load(
        contender.server.port, lambda each: contender.request(each, stream=False), replied(reply_text(REPLY_TOKENS))
    )
    watch = bench.house.watch(contender, database)
    return await steady(load, conversations, 1 / TURNS_PER_SECOND, asyncio.ensure_future(lasting), watch)


def documents(count: int) -> Iterator[bytes]:
    """Texts of a hundred passages each."""
    chance = random.Random(count)
    return (texts.document(chance, PASSAGES, TOKENS).encode() for _ in range(count))


async def read(contender: Contender, contents: Sequence[bytes], longest: float) -> tuple[int, float]:
    """Uploads documents; gives how many chunks were made, and in how many seconds.

    Raises:
        ServerFailed: one of them could not be read.
    """
    loop, connection = asyncio.get_running_loop(), Connection(contender.server.port)
    begun = loop.time()
    await asyncio.gather(*(send(contender, contents[first::SENDERS], first) for first in range(SENDERS)))
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        asked = request("GET", f"/documents?user_id={USER}&limit=100")
        found = orjson.loads((await connection.ask(asked)).body)
        if failures := [each["error"] for each in found if each["status"] == "failed"]:
            raise ServerFailed(f"A document was not read: {failures[0]}")
        settled = all(each["status"] in {"ready", "failed"} for each in found)
        if settled or loop.time() > begun + longest:
            connection.close()
            return sum(chunks_of(each) for each in found), loop.time() - begun


def chunks_of(document: dict) -> int:
    """How many chunks of a document are embedded."""
    return document["chunk_count"] or (document["done"] if document["stage"] == "embedding" else 0)


async def send(contender: Contender, contents: Sequence[bytes], first: int) -> None:
    connection = Connection(contender.server.port)
    for content, number in zip(contents, itertools.count(first, SENDERS)):
        answer = await connection.ask(upload(USER, f"{number}.md", content))
        assert answer.status == 202, answer.body
    connection.close()


def compared(alone: Outcome, during: Outcome) -> Row:
    """One row of both."""
    row = report.milliseconds(alone.latencies, "alone_") | report.milliseconds(during.latencies, "")
    failures = alone.failures + during.failures
    row |= {"failed": failures.total(), "failures": dict(failures), "memory_mb": during.watch.memory_peak_mb}
    row["p50_ratio"] = row["p50_ms"] / row["alone_p50_ms"]
    row["p99_ratio"] = row["p99_ms"] / row["alone_p99_ms"]
    return row
