"""A server at its capacity: refusals of further turns, and reads meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks import report
from benchmarks.client import Answer, Connection, request
from benchmarks.contenders import SERVICE, Contender
from benchmarks.report import Row
from benchmarks.stores import REPLY_TOKENS
from tests.support.parley_client import messages_path

PLACES = 2_048
"""MAX_TURNS_AT_WORK and MAX_TURNS_WAITING together."""
ONE_USER = {"max_turns_waiting_per_user": str(PLACES)}
"""All turns belong to one user, who by default may take a quarter of the queue."""
POSTERS = 16
REQUESTS = 400
REPLY_SECONDS = 60
TOKENS = 120


async def overload(bench, database: str) -> None:
    """Fill the capacity with turns of a slow model, then post more turns while reading."""
    if bench.options.quick and database != bench.options.databases[0]:
        return
    note = f"{PLACES:,} turns at work and waiting; ms until a further one is refused, and of reads meanwhile"
    bench.report.head("overload", database, note, report.OVERLOAD)
    async with bench.servers.started([SERVICE], database, **ONE_USER) as [contender]:
        conversations = await contender.store.conversations(PLACES + 1, 2)
        await bench.servers.provider.set(TOKENS, REPLY_SECONDS / TOKENS)
        accepted = await send_all(contender, [in_background(each) for each in conversations[:PLACES]], POSTERS)
        refused, read = await asyncio.gather(
            send_all(contender, [in_background(conversations[PLACES])] * REQUESTS, POSTERS),
            send_all(contender, [request("GET", f"/conversations/{conversations[0]}")] * REQUESTS, 1),
        )
        await bench.servers.provider.set(REPLY_TOKENS)
    expected = [(accepted, 202), (refused, 503), (read, 200)]
    failures = [f"{answer.status}" for answers, status in expected for answer, _ in answers if answer.status != status]
    row: Row = {"group": "overload", "database": database, "scenario": "full", "clients": POSTERS, "server": SERVICE}
    row |= {"failed": len(failures), "failures": {each: failures.count(each) for each in set(failures)}}
    row |= report.milliseconds([seconds for _, seconds in refused], "refused_")
    bench.report.add(report.OVERLOAD, row | report.milliseconds([seconds for _, seconds in read], "read_"))


def in_background(conversation: str) -> bytes:
    """Return the request for a background turn."""
    return request("POST", messages_path({"conversation_id": conversation}), {"message": "Hello", "background": True})


async def send_all(contender: Contender, requests: Sequence[bytes], clients: int) -> list[tuple[Answer, float]]:
    """Send requests from a number of clients and return the answers with their durations in seconds."""
    left, answers = list(requests), []

    async def client() -> None:
        connection = Connection(contender.server.port)
        while left:
            request, begun = left.pop(), time.perf_counter()
            answers.append((await connection.send(request), time.perf_counter() - begun))
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers
