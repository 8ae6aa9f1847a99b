"""Retrieval in sets with judged items."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from evals.data import Query, RankedSet
from evals.ingest import Library, corpus_files
from evals.measuring import Bench, sampled
from evals.metrics import ranking_scores
from evals.results import Line
from evals.service import EvalClient


async def measure(bench: Bench, data: RankedSet) -> AsyncIterator[Line]:
    """Measure queries as written; follow-ups also in a conversation and as rewritten by a person."""
    library = await bench.ingest(data.name, corpus_files(data.corpus))
    yield bench.ingest_line(data.name, "ingest", library)
    queries = sampled(data.queries, bench.limit)
    if not any(each.earlier_messages for each in queries):
        yield await measure_search(bench, data.name, "search", library, queries)
        return
    yield await measure_search(bench, data.name, "last turn alone", library, queries)
    yield await measure_follow_ups(bench, data.name, library, queries)
    yield await measure_search(
        bench, data.name, "rewritten by a person", library, queries, lambda each: each.rewrite or each.text
    )


async def measure_search(
    bench: Bench,
    name: str,
    what: str,
    library: Library,
    queries: Sequence[Query],
    form: Callable[[Query], str] = lambda each: each.text,
) -> Line:
    """Measure the rankings of a form of each query."""
    watch, scores = bench.stopwatch(library.user_id), {}
    for query in queries:
        hits = await watch.search(form(query))
        scores[query.query_id] = ranking_scores(library.items([each.document_id for each in hits]), query.grades)
    return bench.line(name, what, watch, scores)


async def measure_follow_ups(bench: Bench, name: str, library: Library, queries: Sequence[Query]) -> Line:
    """Measure the passages in prompts of conversations; `empty` counts prompts without any."""
    client = bench.client.for_user(library.user_id)
    given = {each.query_id: await send_in_conversation(client, each) for each in queries}
    scores = {each.query_id: ranking_scores(library.items(given[each.query_id]), each.grades) for each in queries}
    empty = sum(not documents for documents in given.values())
    return Line(name, bench.database, "given in a conversation", scores, notes={"empty": empty})


async def send_in_conversation(client: EvalClient, query: Query) -> Sequence[str]:
    """Send a query after its earlier messages, and return the documents of the passages in its prompt."""
    conversation = await client.create_conversation(mode="rag")
    for message in query.earlier_messages:
        await client.reply(conversation, message, retrieval="never")
    reply = await client.reply(conversation, query.text, retrieval="always")
    return await client.prompt_documents(conversation, reply)
