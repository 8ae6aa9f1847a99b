"""Search in very many chunks of one user."""

from __future__ import annotations

import random
import time

import orjson

from app.rag.models.local_embedder import LocalEmbedder
from benchmarks import report, texts
from benchmarks.client import Answer, Connection, request
from benchmarks.contenders import SERVICE, Contender, stopping
from benchmarks.library import fill
from benchmarks.load import Load, closed, refusal
from benchmarks.processes import resident_mb
from benchmarks.report import Row

CHUNKS = 100_000
QUERIES = 2_000
CLIENTS = (1, 4)
USER = "scholar"


async def search(bench, database: str) -> None:
    """Measure the first search, which loads the chunks into memory, and later ones."""
    chunks = 5_000 if bench.options.quick else CHUNKS
    bench.report.head("search", database, f"{chunks:,} chunks of one user; first: the first search", report.SEARCH)
    contender = bench.servers.new(SERVICE, database)
    await fill(contender.url, USER, chunks, LocalEmbedder().name)
    with stopping([contender]):
        await contender.server.start()
        first = await first_search(contender)
        for clients in CLIENTS:
            row = await searches(bench, contender, database, clients)
            key = {"group": "search", "database": database, "scenario": f"{chunks:,} chunks", "clients": clients}
            bench.report.add(report.SEARCH, {**key, "server": SERVICE, **first, **row})


async def first_search(contender: Contender) -> Row:
    """Measure the first search and the memory before it."""
    idle, connection, begun = resident_mb(contender.server.pid), Connection(contender.server.port), time.perf_counter()
    answer = await connection.send(search_request("what is first"))
    connection.close()
    assert answer.status == 200, answer.body
    return {"idle_mb": idle, "first_ms": (time.perf_counter() - begun) * 1e3}


async def searches(bench, contender: Contender, database: str, clients: int) -> Row:
    """Measure clients that each run one search after the other."""
    chance = random.Random(clients)
    queries = [texts.question(chance) for _ in range(QUERIES)]
    load = Load(contender.server.port, search_request, check_found)
    watch = bench.servers.watch(contender, database)
    outcome = await closed(load, queries, clients, bench.options.seconds * bench.options.rounds, watch)
    contender.server.must_run()
    return report.measured(outcome)


def search_request(query: str) -> bytes:
    return request("POST", "/documents/search", {"user_id": USER, "query": query})


def check_found(answer: Answer) -> str | None:
    if answer.status != 200:
        return refusal(answer)
    return None if orjson.loads(answer.body) else "nothing found"
