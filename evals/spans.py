"""Long documents: how much of what answers a question is in the passages that fit a budget of tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import TypeAlias

from app.rag.tokenizer import count_tokens
from evals.data import SpanQuestion, SpanSet
from evals.folding import Letters
from evals.ingest import Shelf
from evals.measuring import Bench, Stopwatch, sampled
from evals.results import Line
from evals.service import Hit

TOKENS = 1_000
"""The budget, in word pieces of the embedded embedding model, whatever the deployment's is."""

Place: TypeAlias = tuple[str, int]
"""A document's id, and a character of its text."""


async def measured(bench: Bench, data: SpanSet) -> AsyncIterator[Line]:
    """Searches for spans, after their places are looked up in the texts that the service has read."""
    files = [(name, name, path.read_bytes()) for name, path in data.documents.items()]
    shelf = await bench.shelf(data.name, files)
    yield bench.ingested(data.name, "ingest", shelf)
    letters = {name: Letters(await bench.client.text(key)) for name, key in shelf.documents.items()}
    lengths = {name: len(path.read_text("utf-8")) for name, path in data.documents.items()}
    found = [(each, spans_of(each, letters[each.document], lengths[each.document])) for each in data.questions]
    asked = [(each, places(shelf.documents[each.document], spans)) for each, spans in found if spans]
    unmapped = sum(len(each.spans) - len(spans) for each, spans in found)
    yield await searched(bench, data.name, shelf, sampled(asked, bench.limit), unmapped)


async def searched(
    bench: Bench, name: str, shelf: Shelf, asked: Sequence[tuple[SpanQuestion, set[Place]]], unmapped: int
) -> Line:
    """How much of the spans is found within the budget, and how much of what is found is of them."""
    watch, scores = Stopwatch(bench.client, shelf.user_id), {}
    for question, gold in asked:
        scores[question.question_id] = of_characters(within(await watch.search(question.text), TOKENS), gold)
    notes = {"tokens": TOKENS, "spans not in the text": unmapped}
    return Line(name, bench.database, "search", scores, watch.seconds, notes)


def spans_of(question: SpanQuestion, letters: Letters, length: int) -> list[tuple[int, int]]:
    """Where a question's spans stand in the text that was read out of a file of this length; not all may be there."""
    found = (letters.span(each.content, each.start / max(1, length)) for each in question.spans)
    return [each for each in found if each is not None]


def places(document_id: str, spans: Iterable[tuple[int, int]]) -> set[Place]:
    """All characters of spans."""
    return {(document_id, place) for span in spans for place in range(*span)}


def within(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """The first passages that have no more than so many tokens together."""
    taken: list[Hit] = []
    for hit, tokens in zip(hits, count_tokens([each.text for each in hits]), strict=True):
        budget -= tokens
        if budget < 0:
            break
        taken.append(hit)
    return taken


def of_characters(hits: Sequence[Hit], gold: Collection[Place]) -> dict[str, float]:
    """The share of gold characters that are found, and of characters found that are gold."""
    found = {place for each in hits for place in places(each.document_id, [(each.start, each.end)])}
    right = len(found & set(gold))
    return {"recall": right / len(gold), "precision": right / len(found) if found else 0.0}
