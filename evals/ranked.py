"""Sets with judged items: are the relevant ones found, and how far up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from evals.data import Query, RankedSet
from evals.ingest import Shelf, files_of
from evals.measuring import Bench, Stopwatch, sampled
from evals.metrics import of_ranking
from evals.results import Line
from evals.service import Client

FUSION = 60
"""k of reciprocal rank fusion (Cormack et al., 2009), where a follow-up is searched for in several forms."""


async def measured(bench: Bench, data: RankedSet) -> AsyncIterator[Line]:
    """Queries as they stand; follow-ups also as the service searches them, and as a person rewrote them."""
    shelf = await bench.shelf(data.name, files_of(data.corpus))
    yield bench.ingested(data.name, "ingest", shelf)
    queries = sampled(data.queries, bench.limit)
    conversational = any(each.asked_before for each in queries)
    alone = [[each.text] for each in queries]
    yield await searched(bench, data.name, "last turn alone" if conversational else "search", shelf, queries, alone)
    if conversational:
        followed = [await as_followed(bench.client, shelf.user_id, each) for each in queries]
        yield await searched(bench, data.name, "as a follow-up", shelf, queries, followed)
        rewritten = [[each.rewrite or each.text] for each in queries]
        yield await searched(bench, data.name, "rewritten by a person", shelf, queries, rewritten)


async def searched(
    bench: Bench, name: str, what: str, shelf: Shelf, queries: Sequence[Query], forms: Sequence[Sequence[str]]
) -> Line:
    """How well each query's forms find what it is after."""
    watch, scores = Stopwatch(bench.client, shelf.user_id), {}
    for query, texts in zip(queries, forms, strict=True):
        rankings = [shelf.items(await watch.search(text)) for text in texts]
        scores[query.query_id] = of_ranking(fused(rankings), query.grades)
    return bench.line(name, what, watch, scores)


def fused(rankings: Sequence[Sequence[str]]) -> list[str]:
    """One ranking of several; a single one stays as it is."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for place, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (FUSION + place)
    return sorted(scores, key=scores.__getitem__, reverse=True)


async def as_followed(client: Client, user_id: str, query: Query) -> Sequence[str]:
    """What the service searches for when the query comes after what was said before it."""
    conversation = await client.conversation(user_id)
    for said in query.asked_before:
        await client.reply(conversation, said, retrieval="never")
    return await client.queries(await client.reply(conversation, query.text, retrieval="always"))
