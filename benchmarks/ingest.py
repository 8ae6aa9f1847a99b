"""Turns during the ingest of documents: its cost for users who only chat."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence

import httpx2

from benchmarks import report, texts
from benchmarks.client import HOST, TIMEOUT_SECONDS
from benchmarks.contenders import SERVICE, Contender
from benchmarks.load import Load, Outcome, replied, steady
from benchmarks.processes import ServerFailed
from benchmarks.provider import reply_text
from benchmarks.report import Row
from benchmarks.stores import REPLY_TOKENS
from tests.support.parley_client import ParleyClient

DOCUMENTS = 100
PASSAGES = 100
TOKENS = 200
"""Tokens of a passage, which becomes about one chunk."""
TURNS_PER_SECOND = 40
ALONE_SECONDS = 20.0
LONGEST_SECONDS = 120.0
"""Longest measurement: the embedded model would take a quarter of an hour for all documents."""
POLL_SECONDS = 1.0
UPLOADS = 2
USER = "reader"
HISTORY = 10
EMBEDDERS = {"endpoint": {"embedding_provider": "openai", "embedding_model": "bench"}, "local": {}}


async def ingest(bench, database: str) -> None:
    """Measure a steady rate of turns alone and during the ingest of 10,000 chunks, for each embedder."""
    chunks = f"{DOCUMENTS * PASSAGES:,} chunks of ~{TOKENS} tokens"
    note = f"{TURNS_PER_SECOND} JSON turns a second, alone and during ingest of {chunks}"
    bench.report.head("ingest", database, note, report.INGEST)
    for embedder, settings in EMBEDDERS.items():
        async with bench.servers.started([SERVICE], database, **settings) as [contender]:
            row = await measure_both(bench, contender, database)
            contender.server.must_run()
        row |= {"group": "ingest", "database": database, "scenario": embedder, "clients": 1, "server": SERVICE}
        bench.report.add(report.INGEST, row)


async def measure_both(bench, contender: Contender, database: str) -> Row:
    """Measure turns alone and during ingest on one server."""
    await bench.servers.provider.set(REPLY_TOKENS)
    seconds = 2.0 if bench.options.quick else ALONE_SECONDS
    await run_turns(bench, contender, database, asyncio.sleep(1))
    alone = await run_turns(bench, contender, database, asyncio.sleep(seconds))
    count = 5 if bench.options.quick else DOCUMENTS
    longest = seconds if bench.options.quick else LONGEST_SECONDS
    ingesting = asyncio.create_task(ingest_documents(contender, list(documents(count)), longest))
    during = await run_turns(bench, contender, database, ingesting)
    chunks, taken = await ingesting
    return compared(alone, during) | {"chunks": chunks, "chunks_per_second": chunks / taken}


async def run_turns(bench, contender: Contender, database: str, lasting) -> Outcome:
    """Run turns until something ends."""
    conversations = await contender.store.conversations(TURNS_PER_SECOND * 10, HISTORY)
    load = Load(
        contender.server.port, lambda each: contender.request(each, stream=False), replied(reply_text(REPLY_TOKENS))
    )
    watch = bench.servers.watch(contender, database)
    return await steady(load, conversations, 1 / TURNS_PER_SECOND, asyncio.ensure_future(lasting), watch)


def documents(count: int) -> Iterator[bytes]:
    """Yield texts of a hundred passages each."""
    chance = random.Random(count)
    return (texts.document(chance, PASSAGES, TOKENS).encode() for _ in range(count))


async def ingest_documents(contender: Contender, contents: Sequence[bytes], longest: float) -> tuple[int, float]:
    """Upload documents; return the number of their chunks and the seconds that they took, `longest` at most.

    Raises:
        ServerFailed: the ingestion of a document failed.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with httpx2.AsyncClient(base_url=f"http://{HOST}:{contender.server.port}", timeout=TIMEOUT_SECONDS) as http:
        client = ParleyClient(http, USER)
        await asyncio.gather(*(upload(client, contents[first::UPLOADS], first) for first in range(UPLOADS)))
        while True:
            await asyncio.sleep(POLL_SECONDS)
            found = await client.get_json("/documents", user_id=USER, limit=100)
            if failures := [each["error"] for each in found if each["status"] == "failed"]:
                raise ServerFailed(f"The ingestion of a document failed: {failures[0]}")
            if all(each["status"] == "ready" for each in found) or loop.time() > begun + longest:
                return sum(embedded_chunks(each) for each in found), loop.time() - begun


def embedded_chunks(document: dict) -> int:
    """Return the number of chunks of a document that are embedded."""
    return document["chunk_count"] or (document["done"] if document["stage"] == "embedding" else 0)


async def upload(client: ParleyClient, contents: Sequence[bytes], first: int) -> None:
    """Upload documents one after the other, named for their numbers from `first` on."""
    for content, number in zip(contents, itertools.count(first, UPLOADS)):
        await client.upload(content, f"{number}.md")


def compared(alone: Outcome, during: Outcome) -> Row:
    """Return the row of both loads."""
    row = report.milliseconds(alone.latencies, "alone_") | report.milliseconds(during.latencies, "")
    failures = alone.failures + during.failures
    row |= {"failed": failures.total(), "failures": dict(failures), "memory_mb": during.watch.memory_peak_mb}
    row["p50_ratio"] = row["p50_ms"] / row["alone_p50_ms"]
    row["p99_ratio"] = row["p99_ms"] / row["alone_p99_ms"]
    return row
