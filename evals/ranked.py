"""Sets with judged items: are the relevant ones found, and how far up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from evals.data import Query, RankedSet
from evals.ingest import Shelf, files_of
from evals.measuring import Bench, Stopwatch, sampled
from evals.metrics import of_ranking
from evals.results import Line
from evals.service import Client


async def measured(bench: Bench, data: RankedSet) -> AsyncIterator[Line]:
    """Queries as they stand; follow-ups also in a conversation, and as a person rewrote them."""
    shelf = await bench.shelf(data.name, files_of(data.corpus))
    yield bench.ingested(data.name, "ingest", shelf)
    queries = sampled(data.queries, bench.limit)
    if not any(each.asked_before for each in queries):
        yield await searched(bench, data.name, "search", shelf, queries)
        return
    yield await searched(bench, data.name, "last turn alone", shelf, queries)
    yield await followed(bench, data.name, shelf, queries)
    yield await searched(
        bench, data.name, "rewritten by a person", shelf, queries, lambda each: each.rewrite or each.text
    )


async def searched(
    bench: Bench,
    name: str,
    what: str,
    shelf: Shelf,
    queries: Sequence[Query],
    form: Callable[[Query], str] = lambda each: each.text,
) -> Line:
    """How well a form of each query finds what it is after."""
    watch, scores = Stopwatch(bench.client, shelf.user_id), {}
    for query in queries:
        hits = await watch.search(form(query))
        scores[query.query_id] = of_ranking(shelf.items([each.document_id for each in hits]), query.grades)
    return bench.line(name, what, watch, scores)


async def followed(bench: Bench, name: str, shelf: Shelf, queries: Sequence[Query]) -> Line:
    """How well turns of conversations find it; `empty` counts those where nothing was good enough to be told of."""
    given = {each.query_id: await given_in_conversation(bench.client, shelf.user_id, each) for each in queries}
    scores = {each.query_id: of_ranking(shelf.items(given[each.query_id]), each.grades) for each in queries}
    empty = sum(not documents for documents in given.values())
    return Line(name, bench.database, "given in a conversation", scores, notes={"empty": empty})


async def given_in_conversation(client: Client, user_id: str, query: Query) -> Sequence[str]:
    """The documents of which the model is told for a query that comes after what was said before it."""
    conversation = await client.conversation(user_id)
    for said in query.asked_before:
        await client.reply(conversation, said, retrieval="never")
    return await client.given(await client.reply(conversation, query.text, retrieval="always"))
