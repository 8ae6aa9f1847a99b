"""A full server: every place taken, and what else is asked of it meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks import report
from benchmarks.client import Answer, Connection, request
from benchmarks.contenders import SERVICE, Contender
from benchmarks.report import Row
from benchmarks.stores import REPLY_TOKENS

PLACES = 2_048
"""MAX_TURNS_AT_WORK and MAX_TURNS_WAITING together."""
POSTERS = 16
ASKED = 400
REPLY_SECONDS = 60
TOKENS = 120


async def overload(bench, database: str) -> None:
    """Fills all places with turns of a slow model, then posts more, beside reads."""
    if bench.options.quick and database != bench.options.databases[0]:
        return
    note = f"{PLACES:,} turns at work and waiting; ms until a further one is refused, and for reads meanwhile"
    bench.report.head("overload", database, note, report.OVERLOAD)
    async with bench.house.started([SERVICE], database) as [contender]:
        conversations = await contender.store.conversations(PLACES + 1, 2)
        await bench.house.provider.set(TOKENS, REPLY_SECONDS / TOKENS)
        accepted = await asked(contender, [in_background(each) for each in conversations[:PLACES]], POSTERS)
        refused, read = await asyncio.gather(
            asked(contender, [in_background(conversations[PLACES])] * ASKED, POSTERS),
            asked(contender, [request("GET", f"/conversations/{conversations[0]}")] * ASKED, 1),
        )
        await bench.house.provider.set(REPLY_TOKENS)
    right = [(accepted, 202), (refused, 503), (read, 200)]
    failures = [f"{answer.status}" for answers, status in right for answer, _ in answers if answer.status != status]
    row: Row = {"group": "overload", "database": database, "scenario": "full", "clients": POSTERS, "server": SERVICE}
    row |= {"failed": len(failures), "failures": {each: failures.count(each) for each in set(failures)}}
    row |= report.milliseconds([seconds for _, seconds in refused], "refused_")
    bench.report.add(report.OVERLOAD, row | report.milliseconds([seconds for _, seconds in read], "read_"))


def in_background(conversation: str) -> bytes:
    """The request for a turn that nobody waits for."""
    return request("POST", f"/conversations/{conversation}/messages", {"message": "Hello", "background": True})


async def asked(contender: Contender, requests: Sequence[bytes], clients: int) -> list[tuple[Answer, float]]:
    """The answers to requests from so many clients, with the seconds that each took."""
    left, answers = list(requests), []

    async def client() -> None:
        connection = Connection(contender.server.port)
        while left:
            asked_for, began = left.pop(), time.perf_counter()
            answers.append((await connection.ask(asked_for), time.perf_counter() - began))
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers
