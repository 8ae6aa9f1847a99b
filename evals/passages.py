"""Questions about passages: is the passage found, and what becomes of questions that no passage answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from evals.data import PassageSet, Question
from evals.folding import folded
from evals.ingest import Shelf, files_of, progress
from evals.measuring import Bench, Stopwatch, sampled
from evals.metrics import recall, reciprocal_rank
from evals.results import Line
from evals.service import Client

AT_ONCE = 2
"""Turns that are asked at once: as many as the embedded model answers."""


async def measured(bench: Bench, data: PassageSet) -> AsyncIterator[Line]:
    """Searches for what answerable questions are about, then asks some questions of both kinds as turns."""
    shelf = await bench.shelf(data.name, files_of(data.corpus))
    yield bench.ingested(data.name, "ingest", shelf)
    answerable = [each for each in data.questions if not each.unanswerable]
    yield await found(bench, data.name, shelf, sampled(answerable, bench.limit))
    unanswerable = [each for each in data.questions if each.unanswerable]
    for what, questions in (("turns, answerable", answerable), ("turns, unanswerable", unanswerable)):
        asked = sampled(questions, bench.turns)
        if asked:
            yield Line(data.name, bench.database, what, await answered(bench.client, shelf.user_id, asked))


async def found(bench: Bench, name: str, shelf: Shelf, questions: Sequence[Question]) -> Line:
    """Whether, and how far up, the passages of questions are found."""
    watch, scores = Stopwatch(bench.client, shelf.user_id), {}
    for each in questions:
        hits = await watch.search(each.text)
        scores[each.question_id] = of_passage(shelf.items([hit.document_id for hit in hits]), each.passage_id)
    return bench.line(name, "search", watch, scores)


def of_passage(ranking: Sequence[str], passage_id: str) -> dict[str, float]:
    """The measures of a ranking in which one item is right."""
    right = {passage_id}
    recalls = {f"recall@{depth}": recall(ranking, right, depth) for depth in (1, 5)}
    return {"MRR": reciprocal_rank(ranking, right), **recalls}


async def answered(client: Client, user_id: str, questions: Sequence[Question]) -> dict[str, dict[str, float]]:
    """Of each question whether the reply says nothing from the documents, and whether it has the answer."""
    scores: dict[str, dict[str, float]] = {}
    waiting = iter(questions)

    async def asker() -> None:
        for each in waiting:
            reply = await client.reply(await client.conversation(user_id), each.text)
            scores[each.question_id] = of_reply(reply.content, reply.grounded, each)
            progress(f"{user_id}: {len(scores)} of {len(questions)} questions answered")

    async with asyncio.TaskGroup() as askers:
        for _ in range(AT_ONCE):
            askers.create_task(asker())
    progress("")
    return scores


def of_reply(content: str, grounded: bool, question: Question) -> dict[str, float]:
    """The measures of a reply: refused, and where there is an answer, right."""
    refused = {"refused": float(not grounded)}
    if question.unanswerable:
        return refused
    said = folded(content)
    return refused | {"right": float(any(folded(each) in said for each in question.answers))}
