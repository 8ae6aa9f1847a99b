"""Questions about passages: retrieval of the passage, prompts of a citing model, and replies of the deployment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from evals.data import PassageSet, Question
from evals.folding import fold
from evals.ingest import Library, corpus_files, show_progress
from evals.measuring import Bench, sampled
from evals.metrics import recall, reciprocal_rank
from evals.results import Line
from evals.service import EvalClient

DEPTHS = (1, 3, 5, 10)
CONCURRENT_TURNS = 2
"""As many as the embedded model runs in parallel."""


async def measure(bench: Bench, data: PassageSet) -> AsyncIterator[Line]:
    """Search for the answerable questions, then send some questions of both kinds as turns."""
    library = await bench.ingest(data.name, corpus_files(data.corpus))
    yield bench.ingest_line(data.name, "ingest", library)
    yield await measure_search(bench, data, library, "search")
    unanswerable = [each for each in data.questions if each.unanswerable]
    near = [each for each in unanswerable if each.passage_id]
    off_topic = [each for each in unanswerable if not each.passage_id]
    kinds = {"turns, answerable": data.answerable, "turns, unanswerable": near, "turns, off topic": off_topic}
    for what, questions in kinds.items():
        sample = sampled(questions, bench.turns)
        if sample:
            scores = await measure_replies(bench.client.for_user(library.user_id), sample)
            yield Line(data.name, bench.database, what, scores)


async def measure_words_alone(bench: Bench, data: PassageSet) -> Line:
    """Measure the search of a service without an embedder, for a user of its own."""
    library = await bench.ingest(f"{data.name} by words", corpus_files(data.corpus))
    return await measure_search(bench, data, library, "search by words alone")


async def measure_prompts(bench: Bench, data: PassageSet) -> Line:
    """Measure the passages that a citing model gets, for a user of its own; without any it is not asked."""
    library = await bench.ingest(f"{data.name} in prompts", corpus_files(data.corpus))
    client, scores = bench.client.for_user(library.user_id), {}
    for each in sampled(data.answerable, bench.limit):
        conversation = await client.create_conversation(mode="rag")
        documents = await client.prompt_documents(conversation, await client.reply(conversation, each.text))
        found = recall(library.items(documents), {each.passage_id}, len(library.documents))
        scores[each.question_id] = {"refused": float(not documents), "recall": found}
    return Line(data.name, bench.database, "given to a model", scores)


async def measure_search(bench: Bench, data: PassageSet, library: Library, what: str) -> Line:
    """Measure the ranks at which the passages of answerable questions are found."""
    watch, scores = bench.stopwatch(library.user_id), {}
    for each in sampled(data.answerable, bench.limit):
        hits = await watch.search(each.text)
        scores[each.question_id] = passage_scores(library.items([hit.document_id for hit in hits]), each.passage_id)
    return bench.line(data.name, what, watch, scores)


def passage_scores(ranking: Sequence[str], passage_id: str) -> dict[str, float]:
    """Return the measures of a ranking in which one item is right."""
    right = {passage_id}
    recalls = {f"recall@{depth}": recall(ranking, right, depth) for depth in DEPTHS}
    return {"MRR": reciprocal_rank(ranking, right), **recalls}


async def measure_replies(client: EvalClient, questions: Sequence[Question]) -> dict[str, dict[str, float]]:
    """Send each question in a conversation of its own and return the measures of the replies."""
    scores: dict[str, dict[str, float]] = {}
    queue = iter(questions)

    async def sender() -> None:
        for each in queue:
            reply = await client.reply(await client.create_conversation(mode="rag"), each.text)
            scores[each.question_id] = reply_scores(reply.content, reply.grounded, each)
            show_progress(f"{client.user_id}: {len(scores)} of {len(questions)} questions answered")

    async with asyncio.TaskGroup() as senders:
        for _ in range(CONCURRENT_TURNS):
            senders.create_task(sender())
    show_progress("")
    return scores


def reply_scores(content: str, grounded: bool, question: Question) -> dict[str, float]:
    """Return the measures of a reply: refused, and right if the question has an answer."""
    refused = {"refused": float(not grounded)}
    if question.unanswerable:
        return refused
    reply = fold(content)
    return refused | {"right": float(any(fold(each) in reply for each in question.answers))}
